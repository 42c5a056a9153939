//! The page of `portcullis.toml`.

use std::io;

use clap_mangen::roff::{Roff, bold, roman};
use portcullis_config::DEFAULT_PATH;
use portcullis_config::keys::KEYS;

use super::Page;
use super::entries::{prose, see_also};

const EXAMPLE: &str = include_str!("../../../../docs/examples/shortest.toml");

const TABLES: [(&str, &str, &str); 3] = [
    ("gate", "[gate]", "Settings for all ports of the host. This table is optional."),
    ("ban", "[ban]", "Bans addresses that fail too often. Without this table nobody is banned."),
    ("door", "[door.NAME]", "One table for each door. Commands and logs use NAME."),
];

const SEE: [&str; 6] = [
    "portcullis(1)",
    "portcullis-check(1)",
    "portcullis-explain(1)",
    "portcullis-apply(1)",
    "portcullis-import(1)",
    "knockd(1)",
];

/// The page.
pub fn page() -> io::Result<Page> {
    let mut page = Roff::new();
    page.control("TH", ["PORTCULLIS.TOML", "5", "", "Portcullis", "Portcullis"]);
    page.control("SH", ["NAME"]);
    page.text([roman("portcullis.toml - configuration of doors, knocks and the gate")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(DEFAULT_PATH)]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("The configuration of "),
        bold("portcullis"),
        roman(
            "(1), in TOML. It holds the secret knocks, so only its owner should be able to read \
             it. ",
        ),
        bold("portcullis check"),
        roman(" finds errors in it. A complete example:"),
    ]);
    page.control("PP", []).control("nf", []).control("RS", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("RE", []).control("fi", []).control("PP", []);
    page.text([
        roman("A port is written "),
        bold("tcp/N"),
        roman(" or "),
        bold("udp/N"),
        roman(", a time as in "),
        bold("500ms"),
        roman(", "),
        bold("30s"),
        roman(", "),
        bold("1m30s"),
        roman(" or "),
        bold("24h"),
        roman("."),
    ]);
    for (table, title, about) in TABLES {
        page.control("SH", [title]);
        page.text([roman(about)]);
        for key in KEYS.iter().filter(|key| key.table == table) {
            page.control("TP", []);
            let mut head = vec![bold(key.name), roman(" = ")];
            head.extend(prose(key.value));
            page.text(head);
            let mut text = prose(key.meaning);
            text.push(roman(". Default: "));
            text.extend(prose(key.default));
            text.push(roman("."));
            page.text(text);
        }
    }
    see_also(&mut page, &SEE);
    Ok(Page { name: "portcullis.toml.5".to_owned(), text: page.render() })
}

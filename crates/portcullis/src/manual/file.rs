//! The page of `portcullis.toml`.

use std::io;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use portcullis_config::DEFAULT_PATH;
use portcullis_config::keys::KEYS;

use super::Page;

const EXAMPLE: &str = include_str!("../../../../docs/examples/shortest.toml");

const TABLES: [(&str, &str, &str); 3] = [
    ("gate", "[gate]", "What holds for all ports of the host. It may be left out."),
    ("ban", "[ban]", "Who goes on trying is refused everywhere for a while. Without it nobody is."),
    ("door", "[door.NAME]", "One for each door. NAME is what commands and logs call it."),
];

/// The page.
pub fn page() -> io::Result<Page> {
    let mut page = Roff::new();
    page.control("TH", ["PORTCULLIS.TOML", "5", "", "Portcullis", "Portcullis"]);
    page.control("SH", ["NAME"]);
    page.text([roman("portcullis.toml - doors, how they are knocked at, and what the gate does")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(DEFAULT_PATH)]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("The configuration of "),
        bold("portcullis"),
        roman("(1), in TOML. It holds secrets: the owner alone should be able to read it. "),
        bold("portcullis check"),
        roman(" says what is wrong with one. This is a whole one:"),
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
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("portcullis"), roman("(1), "), bold("knockd"), roman("(1)")]);
    Ok(Page { name: "portcullis.toml.5".to_owned(), text: page.render() })
}

/// Markdown, of which only code is known.
fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(number, part)| if number % 2 == 1 { italic(part) } else { roman(part) })
        .collect()
}

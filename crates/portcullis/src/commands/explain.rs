//! `portcullis explain`: shows which rule sees each packet, which stage follows, and which door opens, as text
//! and as a picture.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use portcullis_config::DEFAULT_PATH;
use portcullis_insight::explain::{self, Explanation, Item, Sender, text};
use portcullis_insight::picture::layout::Picture;
use portcullis_insight::picture::{self, svg};

use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::out::print;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A configuration, then packets in order: `tcp/7431` (a SYN), `tcp/22:ack` (other flags),
    /// `udp/53`, `icmp`, and `+6s` for a pause. With --svg and no packets: the whole configuration
    #[arg(value_name = "[FILE] PACKET", required_unless_present = "svg")]
    items: Vec<String>,
    /// Source address of the packets
    #[arg(long, value_name = "ADDRESS", default_value = "203.0.113.7")]
    from: IpAddr,
    /// Interface where the packets arrive [default: the first one of the configuration, or eth0]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// The packets belong to an established connection
    #[arg(long)]
    established: bool,
    /// Show all rules that a packet passes, not only those that match
    #[arg(long)]
    rules: bool,
    /// Draw an SVG picture: the stages and rules that the packets reach, or without packets all
    /// doors and rules. The picture shows the knocks, which are secret
    #[arg(long)]
    svg: bool,
    /// Write the picture to this file, readable only by its owner; `-` is standard output, the
    /// default
    #[arg(short, long, value_name = "FILE", requires = "svg")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let (file, items) = match args.items.split_first() {
        Some((first, rest)) if Item::parse(first).is_err() && !Item::looks_like_one(first) => {
            (Some(PathBuf::from(first)), rest)
        }
        _ => (None, args.items.as_slice()),
    };
    let items = items
        .iter()
        .map(|text| {
            Item::parse(text).map_err(|error| {
                Failure::wrong_use(format!("`{}` is not a packet: {error}", text.escape_debug()))
                    .hint("write `tcp/7431`, `tcp/22:ack`, `udp/53`, `icmp`, or `+6s` for a pause")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() && !args.svg {
        return Err(Failure::wrong_use("no packets to explain").hint(
            "write packets after the configuration, such as `tcp/7431 udp/29117 tcp/22`, or \
             `--svg` to draw the whole configuration",
        ));
    }
    let portcullis_config::Loaded { policy, backend, .. } = config::load_for(file.as_deref())?;
    let name = name_of(file.as_deref().unwrap_or(Path::new(DEFAULT_PATH)));
    if items.is_empty() {
        return draw(args, &picture::overview(&name, &policy, backend.word()));
    }
    let sender = Sender {
        from: args.from,
        interface: args.interface.clone(),
        established: args.established,
        rules: args.rules,
    };
    let store = config::store(backend);
    let events = explain::tell(&sender, &items, &policy, store)
        .map_err(|_| Failure::could_not("the doors of this configuration contradict each other"))?;
    let explanation = Explanation { name, from: args.from.to_string(), events };
    match args.svg {
        true => draw(args, &picture::explanation(&explanation)),
        false => {
            let columns = if store.is_some() { 20 } else { 14 };
            print(&text::write(&explanation, columns)).map(|()| Exit::Done)
        }
    }
}

/// What a picture calls a configuration: the folder is nobody's business.
fn name_of(path: &Path) -> String {
    match path.file_name() {
        _ if path == Path::new("-") => "standard input".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.to_string_lossy().into_owned(),
    }
}

fn draw(args: &Args, picture: &Picture) -> Outcome {
    let text = svg::write(picture);
    match args.output.as_deref().filter(|path| !is_standard_output(path)) {
        None => print(&text).map(|()| Exit::Done),
        // Only its owner can read it: it shows the knocks.
        Some(path) => {
            files::put(path, text.as_bytes(), 0o600).map(|()| Exit::Done).map_err(|error| {
                let path = path.to_string_lossy();
                Failure::could_not(format!("cannot write `{}`: {error}", path.escape_debug()))
                    .hint("write to a regular file, to a new file, or to `-` (standard output)")
            })
        }
    }
}

fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

//! `portcullis replay`: what the doors would have made of the packets in a capture.
//!
//! What was found goes to standard output; how the capture was read, and what about it makes the
//! findings less certain, to standard error.

mod json;
mod notes;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use portcullis_core::engine::Options;
use portcullis_core::text::plain;
use portcullis_insight::replay::file::{Capture, NoCapture};
use portcullis_insight::replay::{Replay, Settings, places};

use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{print, say};
use crate::progress::{Counted, Progress};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The capture: pcap or pcapng, optionally compressed with gzip; `-` is standard input
    capture: PathBuf,
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Address of the host in the capture; repeat it for several addresses [default: detected from
    /// the capture]
    #[arg(long, value_name = "ADDRESS")]
    host: Vec<IpAddr>,
    /// Skip frames with a VLAN tag, as a host without that VLAN does
    #[arg(long)]
    untagged: bool,
    /// Use the packets of all interfaces in the capture, not only of those in `interfaces`
    #[arg(long)]
    any_interface: bool,
    /// List every strike and every source, not only the first few
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let stdin = Path::new("-");
    if args.capture == stdin && args.file.as_deref() == Some(stdin) {
        return Err(Failure::wrong_use("capture and configuration cannot both be standard input")
            .hint("name a file for one of them"));
    }
    let policy = config::load_for(args.file.as_deref())?.policy;
    // A secret, as the daemon has one: the capture may hold a flood made for our tables.
    let seed = getrandom::u64()
        .map_err(|error| Failure::could_not(format!("cannot read random numbers: {error}")))?;
    let engine = Options { seed, ..Options::default() };
    let settings = Settings { host: args.host.clone(), untagged: args.untagged, engine };
    let mut replay = Replay::new(&policy, settings)
        .map_err(|_| Failure::could_not("the doors of this configuration contradict each other"))?;

    let name = plain(&args.capture.to_string_lossy());
    let no_capture = |error: NoCapture| {
        let failure = Failure::could_not(format!("cannot replay `{name}`: {error}"));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    };
    let (source, size) =
        open(&args.capture).map_err(|error| no_capture(NoCapture::Failed(error)))?;
    let (source, read) = Counted::new(source);
    let mut capture =
        Capture::open(Box::new(source), places(&policy, args.any_interface)).map_err(no_capture)?;
    let mut progress = Progress::new(read, size);
    replay.feed(&mut capture, |frames| progress.frames(frames));
    progress.finish();
    let report = replay.finish();

    let notes = notes::notes(&policy, &report);
    if args.json {
        print(&format!("{:#}\n", json::object(&policy, &report, &notes)))?;
    } else {
        print(&text::render(&policy, &report, args.all))?;
    }
    for note in &notes {
        say(&format!("note: {note}"));
    }
    match &report.damage {
        None => Ok(Exit::Done),
        Some(damage) => {
            Err(Failure::could_not(format!("could not read all of `{name}`: {damage}"))
                .hint("the results above cover the packets before that point"))
        }
    }
}

/// The file, or standard input, and how long it is.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

//! How the story looks: a timeline, one line for each thing sent and each thing observed.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use portcullis_lab::Family;

use super::stage::Stage;
use super::told::Told;
use crate::exit::{Exit, Failure};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WHO: Style = AnsiColor::Cyan.on_default();

/// Who does something to whom, in a column of its own.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// The client sends.
    ClientSends,
    /// The client gets.
    ClientGets,
    /// The other address sends.
    OtherSends,
    /// The other address gets.
    OtherGets,
    /// Something happens on the host.
    Host,
}

impl Who {
    const fn words(self) -> &'static str {
        match self {
            Self::ClientSends => "client → host",
            Self::ClientGets => "client ← host",
            Self::OtherSends => "other  → host",
            Self::OtherGets => "other  ← host",
            Self::Host => "         host",
        }
    }
}

/// The name of the step that is being told, for whoever has to say where it stopped.
#[derive(Debug, Clone, Default)]
pub struct Current(Arc<Mutex<String>>);

impl Current {
    /// The name.
    pub fn name(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }
}

/// Writes the story.
#[derive(Debug)]
pub struct Screen {
    start: Instant,
    current: Current,
    /// Steps that were observed.
    steps: usize,
    family: Option<Family>,
    short: bool,
}

/// Writes what happens in one step.
#[derive(Debug)]
pub struct Log {
    start: Instant,
    short: bool,
}

impl Screen {
    /// Begins; time counts from here.
    pub fn new() -> Self {
        let current = Current::default();
        current.set("setup".to_owned());
        Self { start: Instant::now(), current, steps: 0, family: None, short: false }
    }

    /// To look at the name of the current step from elsewhere.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// Says who is who, and what the host's configuration is.
    pub fn introduce(&self, stage: &Stage, families: &[Family]) {
        line(format_args!(
            "{BOLD}Port knocking, shown with real packets{BOLD:#} on a private network inside this machine"
        ));
        line(format_args!(""));
        line(format_args!(
            "A guarded port looks like a closed port. A client that sends packets to secret ports \
             in the"
        ));
        line(format_args!(
            "correct order (a sequence of knocks) may connect from its address for a short time."
        ));
        line(format_args!(""));
        line(format_args!("The host runs a service on tcp/22. This is its whole configuration:"));
        line(format_args!(""));
        for text in stage.config.lines() {
            let (setting, comment) = text.split_at(text.find('#').unwrap_or(text.len()));
            line(format_args!("    {setting}{DIM}{comment}{DIM:#}"));
        }
        line(format_args!(""));
        for (name, address) in [
            ("host", &(|family| stage.client.host(family)) as &dyn Fn(Family) -> _),
            ("client", &|family| stage.client.address(family, 0)),
            ("other", &|family| stage.client.address(family, 1)),
        ] {
            let addresses: Vec<String> =
                families.iter().map(|family| format!("{:<16}", address(*family))).collect();
            let addresses = addresses.join("");
            line(format_args!("    {WHO}{name:<8}{WHO:#}{}", addresses.trim_end()));
        }
        line(format_args!(""));
    }

    /// Begins to tell the story in a family, in short when it has been told in full.
    pub fn begin(&mut self, family: Family, short: bool) {
        (self.family, self.short) = (Some(family), short);
        let again = if short { ", the same steps" } else { "" };
        if short {
            line(format_args!("{BOLD}Over {family}{again}{BOLD:#}"));
        }
    }

    /// Begins to tell what is about all families.
    pub fn begin_end(&mut self) {
        if self.short {
            line(format_args!(""));
        }
        (self.family, self.short) = (None, false);
    }

    /// Tells one step.
    pub fn step(&mut self, title: &str, work: impl FnOnce(&Log) -> Told) -> Result<(), Failure> {
        let number = self.steps + 1;
        let over = self.family.map(|family| format!(" over {family}")).unwrap_or_default();
        let name = format!("step {number} ({title}){over}");
        self.current.set(name.clone());
        let log = Log { start: self.start, short: self.short };
        if !self.short {
            line(format_args!("{BOLD}{number:>2}  {title}{BOLD:#}"));
        }
        match work(&log) {
            Ok(()) if self.short => log.put(GOOD, "✓", format_args!("{number:>2}  {title}")),
            Ok(()) => line(format_args!("")),
            Err(instead) => {
                log.put(BAD, "✗", format_args!("{instead}"));
                let message = format!("{name}: {instead}");
                return Err(Failure { exit: Exit::No, message, hint: None });
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// The closing line.
    pub fn finish(&self) {
        let (steps, seconds) = (self.steps, self.start.elapsed().as_secs_f64());
        line(format_args!("{GOOD}demo: {steps} steps, all observed, in {seconds:.1} s{GOOD:#}"));
    }

    /// The closing line when a step was not observed.
    pub fn give_up(&self) {
        let (steps, seconds) = (self.steps, self.start.elapsed().as_secs_f64());
        line(format_args!(""));
        line(format_args!(
            "{BAD}demo: stopped after {steps} observed steps, in {seconds:.1} s{BAD:#}"
        ));
    }
}

impl Log {
    /// Something is done.
    pub fn say(&self, who: Who, what: impl fmt::Display) {
        if !self.short {
            self.put(WHO, " ", format_args!("{WHO}{}{WHO:#}   {what}", who.words()));
        }
    }

    /// Something has been observed, and it is what it should be.
    pub fn seen(&self, who: Who, what: impl fmt::Display) {
        if !self.short {
            self.put(GOOD, "✓", format_args!("{WHO}{}{WHO:#}   {what}", who.words()));
        }
    }

    fn put(&self, style: Style, mark: &str, what: fmt::Arguments<'_>) {
        let seconds = self.start.elapsed().as_secs_f64();
        line(format_args!("  {DIM}{seconds:>7.3} s{DIM:#}  {style}{mark}{style:#} {what}"));
    }
}

/// If nobody reads it, the story goes on: the exit code still tells its end.
fn line(text: fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

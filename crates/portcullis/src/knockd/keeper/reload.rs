//! SIGHUP: the configuration is read again. A bad one changes nothing.

use std::path::Path;

use portcullis_config::knockd::Options;

use super::settings::Loaded;
use super::{Keeper, begin, one_line};
use crate::config::{self, LoadError};
use crate::daemon::notify;

/// Findings that are logged, one line each; all of them are on standard error.
const SHOWN: usize = 5;

impl Keeper {
    /// Reads the configuration, and opens the log, again. In force is the new one when the watcher
    /// says that it follows it.
    pub(super) fn read_again(&mut self) {
        notify::reloading();
        let path = self.settings.config_as_given.display().to_string();
        self.reporter.tell(format!("re-reading config file: {}\n", path.escape_debug()));
        match self.settings.load(&self.settings.config) {
            Ok(loaded) => self.follow(loaded),
            Err(error) => {
                // Whoever moves logs about does not know about the configuration.
                self.open_log_again(None);
                self.stay(&error);
            }
        }
    }

    fn follow(&mut self, loaded: Loaded) {
        let Loaded { options, doors, dump } = loaded;
        if let Err(failure) = begin::keep_records(&mut self.commands, &self.settings, &doors) {
            self.open_log_again(None);
            return self.stay(&LoadError::Unreadable(failure));
        }
        self.tell_of_commands();
        self.reporter.print(&dump);
        self.open_log_again(Some(&options));
        self.reporter.use_syslog(options.use_syslog);
        self.order(Some(doors));
    }

    /// The log file is opened anew, where the options say, or where it was.
    fn open_log_again(&mut self, options: Option<&Options>) {
        if let Some(options) = options {
            self.log_file = self.settings.log_file(options);
        }
        let Some(path) = self.log_file.clone() else {
            // Nothing is lost: there is none to be opened.
            let _ = self.reporter.open(None);
            return;
        };
        let name = |path: &Path| path.display().to_string().escape_debug().to_string();
        self.reporter.say(&format!("closing log file: {}", name(&path)));
        self.reporter.tell_aside(&format!("re-opening log file: {}", name(&path)));
        if let Err(error) = self.reporter.open(Some(&path)) {
            self.reporter.tell(format!("cannot open logfile {}: {error}", name(&path)));
        }
    }

    /// What was in force stays so; why.
    fn stay(&mut self, error: &LoadError) {
        match error {
            LoadError::Unreadable(failure) => {
                let reason = one_line(failure);
                self.reporter
                    .tell(format!("cannot use the new configuration; the old one stays: {reason}"));
            }
            LoadError::Invalid(report) => {
                config::show(report);
                let all = report.findings().len();
                for found in report.findings().iter().take(SHOWN) {
                    let place = found.span.as_ref().map_or_else(
                        || report.path().to_owned(),
                        |span| {
                            let (line, column) = report.position(span.start);
                            format!("{}:{line}:{column}", report.path())
                        },
                    );
                    let message = &found.message;
                    self.reporter.tell(format!("{place}: {message}"));
                }
                let more = all.saturating_sub(SHOWN);
                let more = if more > 0 { format!(" ({more} more)") } else { String::new() };
                self.reporter
                    .tell(format!("cannot use the new configuration; the old one stays{more}"));
            }
        }
        self.tell_systemd();
    }
}

//! The host with its service, its gate and its daemon, and the client with two addresses.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use portcullis_client::{Options, Target};
use portcullis_core::policy::{Door, Policy, Port, Recogniser};
use portcullis_gate::nftables;
use portcullis_lab::program::Program;
use portcullis_lab::service::Echo;
use portcullis_lab::{Family, Lab, Peer, wait_until};

use super::told::because;
use crate::config;
use crate::exit::Failure;

/// The guarded port, which is also in [`CONFIG`].
pub const GUARDED: u16 = 22;

/// The smallest whole configuration, with times for a short story.
const CONFIG: &str = r#"[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/7431", "udp/29117", "tcp/1123"]
open_for     = "2s"       # the default is 30s, but this is a short story
step_timeout = "1s"
"#;

/// How long an answer may take that comes at all.
pub const WAIT: Duration = Duration::from_secs(2);

/// Everything that plays a part.
pub struct Stage {
    /// Must be there as long as the stage: its thread is the host.
    pub lab: Lab,
    /// The client, with a second address that is somebody else's as far as the host can tell.
    pub client: Peer,
    /// The host's configuration.
    pub config: String,
    /// What it means.
    pub policy: Policy,
    /// Who opens the door.
    pub recogniser: Recogniser,
    /// The firewall of the host.
    pub gate: nftables::Table,
    /// The daemon of the host, while it lives.
    pub daemon: Option<Program>,
    _services: [Echo; 2],
}

impl Stage {
    /// Sets it: all but the gate.
    pub fn set(recogniser: Recogniser) -> Result<Self, Failure> {
        let mut lab = Lab::new()?;
        let client = lab.peer("client", 2)?;
        let serve = |family| {
            Echo::start(SocketAddr::new(client.host(family), GUARDED))
                .map_err(failed("start the service"))
        };
        let services = [serve(Family::V4)?, serve(Family::V6)?];
        let mut text = CONFIG.to_owned();
        match recogniser {
            Recogniser::Both => {}
            Recogniser::Kernel => text.push_str("recogniser   = \"kernel\"\n"),
            Recogniser::Daemon => text.push_str("recogniser   = \"daemon\"\n"),
        }
        let loaded = config::parse_str("portcullis.toml", &text)
            .map_err(|report| Failure::could_not(report.to_string()))?;
        Ok(Self {
            lab,
            client,
            config: text,
            policy: loaded.policy,
            recogniser,
            gate: nftables::Table::open()?,
            daemon: None,
            _services: services,
        })
    }

    /// The door of the story.
    pub fn door(&self) -> Result<&Door, String> {
        self.policy.doors.first().ok_or_else(|| "the configuration has no door".to_owned())
    }

    /// Where the service is.
    pub fn service(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.client.host(family), GUARDED)
    }

    /// Starts `portcullis run` on the host, and waits until it says that it is ready.
    pub fn start_daemon(&mut self) -> Result<(), String> {
        let input = in_memory(&self.config).map_err(because("store the configuration"))?;
        // This program itself, wherever it was started from.
        let mut command = Command::new("/proc/self/exe");
        command.args(["run", "-"]).stdin(Stdio::from(input));
        let daemon = Program::start(&mut command).map_err(because("start the daemon"))?;
        let mut said = Vec::new();
        let ready = daemon.wait_for_line(WAIT * 3, |line| {
            said.push(line.to_owned());
            line.starts_with("ready")
        });
        if ready.is_none() {
            return Err(format!("the daemon did not start; its output: {}", said.join(" / ")));
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The client knocks, with the program's own client.
    pub fn knock(&self, family: Family, ports: &[Port]) -> Result<(), String> {
        let target = Target::new(self.client.host(family).to_string());
        let knocked =
            self.client.run(|| portcullis_client::knock(&target, ports, &Options::default()));
        match knocked.map_err(because("run the client"))? {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the client cannot knock: {error}")),
        }
    }

    /// The addresses for which a door is open now, as the kernel says.
    pub fn granted(&mut self) -> Result<Vec<IpAddr>, String> {
        let grants =
            self.gate.grants().map_err(|error| format!("cannot list the grants: {error}"))?;
        Ok(grants.into_iter().map(|grant| grant.address).collect())
    }

    /// Waits until the door is open for exactly these, as the kernel says; for how long.
    pub fn wait_for_grants(
        &mut self,
        wanted: &[IpAddr],
        wait: Duration,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        let mut last = Ok(Vec::new());
        let came = wait_until(start + wait, || {
            last = self.granted();
            last.as_ref().map_or(true, |granted| granted == wanted)
        });
        let last = last?;
        if came {
            return Ok(start.elapsed());
        }
        let names = |of: &[IpAddr]| match of {
            [] => "nobody".to_owned(),
            some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        };
        let seconds = wait.as_secs_f64();
        Err(format!(
            "after {seconds:.1} s the door is open for {}; expected: {}",
            names(&last),
            names(wanted)
        ))
    }
}

/// A file that has no name and leaves nothing behind.
fn in_memory(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("portcullis.toml", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::could_not(because(doing)(error))
}

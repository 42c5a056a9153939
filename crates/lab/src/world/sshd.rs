//! A real sshd, with keys of its own.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::Peer;
use crate::program::Program;

use super::PATIENCE;

/// It listens on port 22 of this thread's host until it is dropped.
pub struct Sshd {
    _program: Program,
    folder: TempDir,
}

impl Sshd {
    /// Starts it, and waits until it listens.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path().to_str().unwrap();
        for key in ["host", "user"] {
            let file = format!("{at}/{key}");
            let output = output("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file]);
            assert!(output.status.success(), "{output:?}");
        }
        let config = format!(
            "Port 22\nHostKey {at}/host\nPidFile none\nUsePAM no\nStrictModes no\nUseDNS no\n\
             AuthorizedKeysFile {at}/user.pub\nPermitRootLogin yes\nPasswordAuthentication no\n"
        );
        fs::write(folder.path().join("sshd_config"), config).unwrap();
        // It wants a directory that only a boot makes.
        let script = "mount -t tmpfs tmpfs /run; mkdir -m 755 /run/sshd; exec /usr/sbin/sshd -D -e -f \"$1\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", script, "sh"]).arg(folder.path().join("sshd_config"));
        let program = Program::start(command.stdin(Stdio::null())).unwrap();
        let mut said = Vec::new();
        let listens = program.wait_for_line(PATIENCE, |line| {
            said.push(line.to_owned());
            line.starts_with("Server listening on 0.0.0.0")
        });
        assert!(listens.is_some(), "{said:#?}");
        Self { _program: program, folder }
    }

    /// Logs in from this address and runs `echo`.
    pub fn login(&self, client: &Peer, from: IpAddr, to: IpAddr) -> Output {
        self.run(client, from, to, "echo inside")
    }

    /// Logs in from this address and runs a line of shell.
    pub fn run(&self, client: &Peer, from: IpAddr, to: IpAddr, line: &str) -> Output {
        let mut command = self.ssh(from, to, line);
        client.run(move || command.stdin(Stdio::null()).output().unwrap()).unwrap()
    }

    /// The same, to be started on the client.
    pub fn ssh(&self, from: IpAddr, to: IpAddr, line: &str) -> Command {
        let identity: PathBuf = self.folder.path().join("user");
        let (from, to) = (from.to_string(), format!("root@{to}"));
        let mut arguments: Vec<&str> = vec!["-F", "none", "-i", identity.to_str().unwrap()];
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "ConnectTimeout=20",
        ] {
            arguments.extend(["-o", option]);
        }
        arguments.extend(["-b", &from, to.as_str(), line]);
        let mut command = Command::new("ssh");
        command.args(arguments);
        command
    }
}

fn output(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

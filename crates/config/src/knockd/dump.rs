//! The configuration as `knockd -D` prints it while it reads.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use portcullis_core::policy::Port;

use super::Configuration;
use super::door::{CommandLine, Door, Knocks, harmless};
use super::flags::FLAGS;

/// The lines of `knockd -D`, in an order of their own: knockd's is that of the file. Left out is what
/// is as it would be without a word. Names are written so that they harm no terminal, and so are
/// commands.
pub fn dump(configuration: &Configuration) -> Vec<u8> {
    let mut out = Vec::new();
    let options = &configuration.options;
    let has_options = options.use_syslog
        || options.log_file.is_some()
        || options.pid_file.is_some()
        || options.interface.is_some();
    if has_options {
        line(&mut out, "new section: 'options'", b"");
    }
    if options.use_syslog {
        line(&mut out, "usesyslog", b"");
    }
    if let Some(path) = &options.log_file {
        line(&mut out, "log file: ", path.as_os_str().as_bytes());
    }
    if let Some(path) = &options.pid_file {
        line(&mut out, "pid file: ", path.as_os_str().as_bytes());
    }
    if let Some(name) = &options.interface {
        line(&mut out, "interface: ", name.as_bytes());
    }
    for door in &configuration.doors {
        section(&mut out, door);
    }
    out
}

fn section(out: &mut Vec<u8>, door: &Door) {
    let name = &door.name;
    line(out, &format!("new section: '{name}'"), b"");
    match &door.knocks {
        Knocks::Sequence(ports) => {
            line(out, &format!("{name}: sequence: "), sequence(ports).as_bytes());
        }
        Knocks::OneTime(path) => {
            let key = format!("{name}: one time sequences file: ");
            line(out, &key, path.as_os_str().as_bytes());
        }
    }
    if door.seq_timeout != Door::DEFAULT_SEQ_TIMEOUT {
        line(out, &format!("{name}: seq_timeout: {}", door.seq_timeout.as_secs()), b"");
    }
    let command = |out: &mut Vec<u8>, key: &str, command: &Option<CommandLine>| {
        if let Some(command) = command {
            line(out, &format!("{name}: {key}: "), command.as_bytes());
        }
    };
    command(out, "start_command", &door.start_command);
    command(out, "start_command_6", &door.start_command_6);
    if door.cmd_timeout != Door::DEFAULT_CMD_TIMEOUT {
        line(out, &format!("{name}: cmd_timeout: {}", door.cmd_timeout.as_secs()), b"");
    }
    command(out, "stop_command", &door.stop_command);
    command(out, "stop_command_6", &door.stop_command_6);
    if let Some(target) = door.target {
        line(out, &format!("{name}: target: {target}"), b"");
    }
    for (flag, bit) in FLAGS {
        let flag = flag.to_ascii_uppercase();
        if door.flags.set.contains(bit) {
            line(out, &format!("tcp flag: {flag}"), b"");
        } else if door.flags.clear.contains(bit) {
            line(out, &format!("tcp flag: !{flag}"), b"");
        }
    }
}

/// A sequence as knockd writes it, as in `7000:tcp,8000:udp`.
pub fn sequence(ports: &[Port]) -> String {
    let mut out = String::new();
    for (index, port) in ports.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}:{}", port.number, port.protocol);
    }
    out
}

/// One line; the value is from the file.
fn line(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(b"config: ");
    out.extend_from_slice(key.as_bytes());
    out.extend(harmless(value));
    out.push(b'\n');
}

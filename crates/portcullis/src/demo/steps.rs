//! What happens, and what must be observed.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use portcullis_core::policy::{Port, Recogniser};
use portcullis_firewall::compile::compile;
use portcullis_lab::Family;
use portcullis_lab::answer::Meaning;
use portcullis_lab::service::talk;
use portcullis_lab::wire::{knocks, shuffled};

use super::screen::Log;
use super::screen::Who::{ClientGets, ClientSends, Host, OtherGets, OtherSends};
use super::stage::{GUARDED, Stage, WAIT};
use super::told::{Told, because};
use crate::progress::thousands;

/// How much later than promised the kernel may end a grant.
const LATE: Duration = Duration::from_millis(1500);

/// The rules are loaded, by the daemon where there is one.
pub fn gate_goes_down(stage: &mut Stage, log: &Log) -> Told {
    let ruleset = compile(&stage.policy).map_err(|_| "the rules contradict each other")?;
    if stage.recogniser == Recogniser::Kernel {
        stage.gate.load(&ruleset).map_err(|error| error.to_string())?;
    } else {
        stage.start_daemon()?;
    }
    stage.gate.verify(&ruleset).map_err(|error| error.to_string())?;
    let rules = ruleset.rule_count();
    let by = match &stage.daemon {
        None => "no daemon runs".to_owned(),
        Some(daemon) => format!("loaded by the daemon, process {}", daemon.id()),
    };
    log.seen(Host, format_args!("{rules} rules are loaded; {by}"));
    Ok(())
}

/// A scan of the guarded port and its neighbours.
pub fn scan(stage: &Stage, family: Family, log: &Log) -> Told {
    log.say(ClientSends, "SYN to tcp/21, tcp/22 and tcp/23; only tcp/22 has a service");
    let from = stage.client.address(family, 0);
    let bytes = all_alike(stage, family, from)?;
    log.seen(
        ClientGets,
        format_args!("3 resets of {bytes} bytes; only ports and checksums differ"),
    );
    Ok(())
}

/// The answers about the guarded port and its neighbours are alike; of how many bytes they are.
fn all_alike(stage: &Stage, family: Family, from: IpAddr) -> Result<usize, String> {
    let ports = [GUARDED - 1, GUARDED, GUARDED + 1];
    // Opened anew each time: left open, it would have to read the answers to the sweeps too.
    let wire = stage.client.wire().map_err(because("open a packet socket"))?;
    let host = stage.client.host(family);
    let answers = wire.syn_scan(from, host, &ports, WAIT).map_err(because("scan"))?;
    let mut first = None;
    for (port, answer) in answers {
        let answer = answer.ok_or_else(|| format!("tcp/{port} does not answer"))?;
        if answer.meaning() != Meaning::Reset {
            return Err(format!(
                "tcp/{port} answers with {:?}, not with a reset",
                answer.meaning()
            ));
        }
        let looks = answer.fingerprint();
        if first.get_or_insert_with(|| looks.clone()) != &looks {
            return Err(format!("the answers of tcp/{} and tcp/{port} differ", GUARDED - 1));
        }
    }
    Ok(first.map_or(0, |looks| looks.len()))
}

/// A connection without a knock.
pub fn plain_connect(stage: &Stage, family: Family, log: &Log) -> Told {
    log.say(ClientSends, "connect to tcp/22");
    refused(stage, family)?;
    log.seen(ClientGets, "connection refused, as by a closed port");
    Ok(())
}

/// A connection from the client is refused.
fn refused(stage: &Stage, family: Family) -> Told {
    let from = stage.client.address(family, 0);
    match stage.client.connect(from, stage.service(family), WAIT) {
        Ok(_) => Err("the connection was accepted".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!("expected a refused connection, but it failed: {error}")),
    }
}

/// Two knocks of the sequence are exchanged.
pub fn wrong_order(stage: &mut Stage, family: Family, log: &Log) -> Told {
    let mut ports = stage.door()?.sequence.clone();
    if let [.., before, last] = ports.as_mut_slice() {
        std::mem::swap(before, last);
    }
    log.say(ClientSends, format_args!("knock at {}", arrows(&ports)));
    stage.knock(family, &ports)?;
    log.say(ClientSends, "connect to tcp/22");
    refused(stage, family)?;
    let granted = stage.granted()?;
    if !granted.is_empty() {
        return Err(format!("the door is open for {granted:?}"));
    }
    log.seen(ClientGets, "connection refused, and the kernel lists no grant");
    Ok(())
}

/// The sequence of the door.
pub fn right_knock(stage: &mut Stage, family: Family, log: &Log) -> Told {
    let ports = stage.door()?.sequence.clone();
    let client = stage.client.address(family, 0);
    log.say(ClientSends, format_args!("knock at {}", arrows(&ports)));
    stage.knock(family, &ports)?;
    stage.wait_for_grants(&[client], WAIT)?;
    log.seen(Host, format_args!("the kernel has a grant: door ssh, {client}, 2 s"));
    if let Some(daemon) = &stage.daemon {
        let prefix = format!("{client}: ");
        let line = daemon
            .wait_for_line(WAIT, |line| line.starts_with(&prefix))
            .ok_or("the daemon did not log the sequence")?;
        log.seen(Host, format_args!("the daemon logs: “{line}”"));
    }
    Ok(())
}

/// A connection within the grant; data go through it and come back.
pub fn connect(stage: &Stage, family: Family, log: &Log) -> Result<TcpStream, String> {
    log.say(ClientSends, "connect to tcp/22 and send “hello”");
    let stream = connect_and_talk(stage, family)?;
    log.seen(ClientGets, "connected; the service answers “hello”");
    Ok(stream)
}

fn connect_and_talk(stage: &Stage, family: Family) -> Result<TcpStream, String> {
    let from = stage.client.address(family, 0);
    let mut stream = stage
        .client
        .connect(from, stage.service(family), WAIT)
        .map_err(|error| format!("cannot connect to tcp/22: {error}"))?;
    echoes(&mut stream, b"hello")?;
    Ok(stream)
}

fn echoes(stream: &mut TcpStream, text: &[u8]) -> Told {
    match talk(stream, text, WAIT) {
        Ok(true) => Ok(()),
        Ok(false) => Err("the service sent a different answer".to_owned()),
        Err(error) => Err(format!("the service does not answer: {error}")),
    }
}

/// While the door is open for the client, a scan from elsewhere.
pub fn other_address(stage: &Stage, family: Family, log: &Log) -> Told {
    log.say(OtherSends, "SYN to tcp/21, tcp/22 and tcp/23, while the client has a grant");
    all_alike(stage, family, stage.client.address(family, 1))?;
    log.seen(OtherGets, "3 resets again; only ports and checksums differ");
    Ok(())
}

/// The grant ends, and the connection does not.
pub fn closes(stage: &mut Stage, family: Family, open: Option<TcpStream>, log: &Log) -> Told {
    let mut open = open.ok_or("there is no open connection")?;
    let open_for = stage.door()?.open_for;
    log.say(Host, "wait until the kernel removes the grant");
    stage.wait_for_grants(&[], open_for + LATE)?;
    log.seen(Host, "the grant is removed");
    echoes(&mut open, b"still here?")?;
    log.seen(ClientGets, "the open connection still answers “still here?”");
    refused(stage, family)?;
    log.seen(ClientGets, "a new connection to tcp/22 is refused");
    Ok(())
}

/// In which order a sweep touches the ports.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// From 1 up.
    Ascending,
    /// From 65535 down.
    Descending,
    /// In an order that looks random.
    Shuffled,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Ascending, Self::Descending, Self::Shuffled];

    fn ports(self) -> Vec<u16> {
        match self {
            Self::Ascending => (1..=u16::MAX).collect(),
            Self::Descending => (1..=u16::MAX).rev().collect(),
            Self::Shuffled => shuffled(7431),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
            Self::Shuffled => "shuffled",
        }
    }
}

/// All ports, as fast as they can be sent.
pub fn sweeps(stage: &mut Stage, family: Family, orders: &[Order], log: &Log) -> Told {
    let sender = stage.client.sender().map_err(because("open a packet socket"))?;
    let (from, to) = (stage.client.address(family, 0), stage.client.host(family));
    let arrived = |stage: &Stage| {
        stage.lab.arrived(stage.client.name()).map_err(because("count the packets"))
    };
    for order in orders {
        let (ports, order) = (order.ports(), order.word());
        let before = arrived(stage)?;
        let sent = sender.send_all(knocks(from, to, ports)).map_err(because("sweep"))?;
        let lost = sent.packets.saturating_sub(arrived(stage)? - before);
        if lost > 0 {
            return Err(format!("{lost} of {} packets did not arrive", sent.packets));
        }
        let granted = stage.granted()?;
        if !granted.is_empty() {
            return Err(format!("the door is open for {granted:?} after the {order} sweep"));
        }
        refused(stage, family)?;
        log.seen(
            ClientSends,
            format_args!(
                "{order}: {} packets in {:.2} s, {}/s: nothing opens",
                thousands(sent.packets),
                sent.took.as_secs_f64(),
                thousands(sent.rate()),
            ),
        );
    }
    Ok(())
}

/// Without the daemon the kernel goes on recognising.
pub fn killed_and_still_opens(stage: &mut Stage, families: &[Family], log: &Log) -> Told {
    kill(stage, log)?;
    let ports = stage.door()?.sequence.clone();
    for &family in families {
        let client = stage.client.address(family, 0);
        log.say(ClientSends, format_args!("knock at {} over {family}", arrows(&ports)));
        stage.knock(family, &ports)?;
        let granted = stage.granted()?;
        if !granted.contains(&client) {
            return Err("the correct sequence did not open the door".to_owned());
        }
        connect_and_talk(stage, family)?;
        log.seen(ClientGets, "connected; the service answers");
    }
    Ok(())
}

/// Without the daemon a door that only the daemon opens closes, and stays so.
pub fn killed_and_stays_shut(stage: &mut Stage, families: &[Family], log: &Log) -> Told {
    let ports = stage.door()?.sequence.clone();
    let open_for = stage.door()?.open_for;
    let clients: Vec<IpAddr> =
        families.iter().map(|family| stage.client.address(*family, 0)).collect();
    log.say(ClientSends, format_args!("knock at {}", arrows(&ports)));
    for &family in families {
        stage.knock(family, &ports)?;
    }
    stage.wait_for_grants(&clients, WAIT)?;
    log.seen(Host, "the door is open; now the daemon is killed");
    kill(stage, log)?;
    stage.wait_for_grants(&[], open_for + LATE)?;
    log.seen(Host, "the kernel removed the grant on time");
    for &family in families {
        log.say(ClientSends, format_args!("knock at {} over {family}", arrows(&ports)));
        stage.knock(family, &ports)?;
        refused(stage, family)?;
        log.seen(ClientGets, "connection refused; the door stays closed");
    }
    Ok(())
}

fn kill(stage: &mut Stage, log: &Log) -> Told {
    let mut daemon = stage.daemon.take().ok_or("there is no daemon to kill")?;
    let id = daemon.id();
    if !daemon.is_alive() {
        return Err(format!("the daemon exited too early: {}", daemon.lines().join(" / ")));
    }
    let status = daemon.kill().map_err(because("kill the daemon"))?;
    log.say(Host, format_args!("kill -9 {id}: the daemon is dead ({status})"));
    Ok(())
}

fn arrows(ports: &[Port]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

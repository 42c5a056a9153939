//! How long the addresses of a name are valid.
//!
//! The C library finds addresses in all sources that the system is configured for, but it does not report
//! their time to live. So this module asks the same name servers once more. If their answer holds every
//! address that was found, their time to live counts. It can only be too short or too long, within bounds:
//! the addresses of a name never come from here.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use portcullis_core::limits::{HOST_REFRESH, HOST_REFRESH_WITHIN};
use portcullis_core::policy::HostName;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};

/// Which name servers there are (resolv.conf(5)).
const SERVERS: &str = "/etc/resolv.conf";
/// As many as the C library asks (`MAXNS`).
const MOST_SERVERS: usize = 3;
const PORT: u16 = 53;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest answer over UDP without extensions is 512 bytes (RFC 1035, section 4.2.1).
const LONGEST: usize = 512;

/// When a name with these addresses is to be looked up again: after its time to live, as far as that is
/// known, and within [`HOST_REFRESH_WITHIN`].
pub fn lifetime(name: &HostName, addresses: &[IpAddr]) -> Duration {
    let text = fs::read_to_string(SERVERS).unwrap_or_default();
    let told =
        servers(&text).find_map(|server| ask(SocketAddr::new(server, PORT), name, addresses));
    within(told)
}

fn within(told: Option<u32>) -> Duration {
    let (shortest, longest) = HOST_REFRESH_WITHIN;
    told.map_or(HOST_REFRESH, |ttl| Duration::from_secs(ttl.into()).clamp(shortest, longest))
}

/// The name servers of a resolv.conf.
fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    let words = text.lines().map(|line| line.split_ascii_whitespace());
    let servers = words.filter_map(|mut words| {
        words.next().filter(|&word| word == "nameserver")?;
        words.next()?.parse().ok()
    });
    servers.take(MOST_SERVERS)
}

/// The shortest time to live, in seconds, of what one server says of these addresses; `None` if it does
/// not say all of them.
fn ask(server: SocketAddr, name: &HostName, addresses: &[IpAddr]) -> Option<u32> {
    let mut shortest = None;
    for kind in [TYPE::A, TYPE::AAAA] {
        let wanted: Vec<_> =
            addresses.iter().filter(|address| address.is_ipv4() == (kind == TYPE::A)).collect();
        if wanted.is_empty() {
            continue;
        }
        let (said, ttl) = ask_for(server, name, kind).ok()??;
        if !wanted.iter().all(|address| said.contains(address)) {
            return None;
        }
        shortest = shortest.into_iter().chain([ttl]).min();
    }
    shortest
}

/// One question: the addresses in the answer, and the shortest time to live of all records in it.
fn ask_for(
    server: SocketAddr,
    name: &HostName,
    kind: TYPE,
) -> io::Result<Option<(Vec<IpAddr>, u32)>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let id = u16::from_ne_bytes(id);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let asked = Name::new(name.as_str()).map_err(io::Error::other)?;
    query.questions.push(Question::new(asked, kind.into(), CLASS::IN.into(), false));
    let here: SocketAddr = match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(here)?;
    socket.connect(server)?;
    socket.send(&query.build_bytes_vec().map_err(io::Error::other)?)?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; LONGEST];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        // What is no answer to this question may be one to another, or forged.
        let answer = Packet::parse(buffer.get(..length).unwrap_or_default());
        let ours = |answer: &Packet<'_>| {
            answer.id() == id
                && answer.has_flags(PacketFlag::RESPONSE)
                && matches!(answer.questions.as_slice(), [question] if question.qtype == kind.into())
        };
        if let Some(answer) = answer.ok().filter(ours) {
            return Ok(read(&answer));
        }
    }
}

fn read(answer: &Packet<'_>) -> Option<(Vec<IpAddr>, u32)> {
    let addresses = answer.answers.iter().filter_map(|record| match &record.rdata {
        RData::A(found) => Some(IpAddr::from(found.address.to_be_bytes())),
        RData::AAAA(found) => Some(IpAddr::from(found.address.to_be_bytes())),
        _ => None,
    });
    Some((addresses.collect(), answer.answers.iter().map(|record| record.ttl).min()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA, CNAME};
    use std::thread;

    fn name(text: &str) -> HostName {
        HostName::new(text).unwrap()
    }

    /// Answers so many questions with these records.
    fn server(questions: usize, records: Vec<ResourceRecord<'static>>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            for _ in 0..questions {
                let mut buffer = [0; 512];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let query = Packet::parse(&buffer[..length]).unwrap();
                let mut reply = Packet::new_reply(query.id());
                let question = query.questions[0].clone().into_owned();
                reply.questions.push(question.clone());
                let kind = question.qtype;
                let fits = |record: &&ResourceRecord<'static>| {
                    matches!(record.rdata, RData::CNAME(_)) || record.match_qtype(kind)
                };
                reply.answers.extend(records.iter().filter(fits).cloned());
                // Somebody else's answer comes first.
                let mut forged = Packet::new_reply(query.id().wrapping_add(1));
                forged.questions.push(question);
                socket.send_to(&forged.build_bytes_vec().unwrap(), from).unwrap();
                socket.send_to(b"junk", from).unwrap();
                socket.send_to(&reply.build_bytes_vec().unwrap(), from).unwrap();
            }
        });
        address
    }

    fn record(ttl: u32, rdata: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked("admin.example"), CLASS::IN, ttl, rdata)
    }

    #[test]
    fn the_shortest_time_of_what_was_found_counts() {
        let four: IpAddr = "192.0.2.1".parse().unwrap();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let (IpAddr::V4(a), IpAddr::V6(aaaa)) = (four, six) else { unreachable!() };
        let records = vec![
            record(300, RData::A(A { address: a.into() })),
            record(120, RData::AAAA(AAAA { address: aaaa.into() })),
            record(200, RData::CNAME(CNAME(Name::new_unchecked("real.example")))),
        ];
        let admin = name("admin.example");
        assert_eq!(ask(server(1, records.clone()), &admin, &[four]), Some(200));
        assert_eq!(ask(server(2, records.clone()), &admin, &[four, six]), Some(120));
        // An address that the server does not know comes from elsewhere, and so may its time.
        let other = "192.0.2.9".parse().unwrap();
        assert_eq!(ask(server(1, records), &admin, &[four, other]), None);
        assert_eq!(ask(server(1, Vec::new()), &admin, &[four]), None);
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(within(None), HOST_REFRESH);
        assert_eq!(within(Some(0)), HOST_REFRESH_WITHIN.0);
        assert_eq!(within(Some(300)), Duration::from_secs(300));
        assert_eq!(within(Some(u32::MAX)), HOST_REFRESH_WITHIN.1);
    }

    #[test]
    fn servers_are_those_of_the_system() {
        let text = "# comment\nsearch example\nnameserver 192.0.2.53\n nameserver ::1 \nnameserver x\n\
                    nameserver 192.0.2.54\nnameserver 192.0.2.55\noptions edns0\n";
        let found: Vec<String> = servers(text).map(|it| it.to_string()).collect();
        assert_eq!(found, ["192.0.2.53", "::1", "192.0.2.54"]);
    }
}

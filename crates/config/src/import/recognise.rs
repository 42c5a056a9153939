//! Which command is one of those that are known.

use super::rule::{Known, Program};
use super::{iptables, nft, ufw, words};
use crate::knockd::CommandLine;

/// What a command is, if it is known.
pub fn recognise(command: &CommandLine) -> Option<Known> {
    let words = words::split(command.as_bytes())?;
    let (program, arguments) = words.split_first()?;
    let name = program
        .strip_prefix("/usr/sbin/")
        .or_else(|| program.strip_prefix("/sbin/"))
        .unwrap_or(program);
    match name {
        "iptables" => iptables::read(Program::Iptables, arguments),
        "ip6tables" => iptables::read(Program::Ip6tables, arguments),
        "nft" => nft::read(arguments),
        "ufw" => ufw::read(arguments),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(command: &str) -> Option<Known> {
        recognise(&CommandLine::new(command.as_bytes()))
    }

    /// What it opens, with the number of the rule and what else it asks.
    fn opened(command: &str) -> Option<String> {
        let Known::Add(rule, number) = known(command)? else { return None };
        let ports: Vec<_> = rule.ports.iter().map(ToString::to_string).collect();
        let mut words = vec![ports.join(" ")];
        words.extend(number.map(|number| format!("number {number}")));
        words.extend(rule.destination.map(|to| format!("to {to}")));
        words.extend(rule.interface.map(|at| format!("at {at}")));
        words.extend(rule.details);
        Some(words.join(", "))
    }

    #[test]
    fn commands_that_open() {
        for (command, expected) in [
            ("/sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT", "tcp/22"),
            ("iptables -w -I INPUT -p tcp -s %IP%/32 --dport=22 -j ACCEPT", "tcp/22, number 1"),
            (
                "iptables -w 5 -t filter -I knock 3 -s %IP% -p UDP -m udp --dport 500:502 -j ACCEPT",
                "udp/500 udp/501 udp/502, number 3",
            ),
            (
                "ip6tables --append INPUT --source %IP%/128 --protocol tcp --syn --destination-port ssh --jump ACCEPT",
                "tcp/22, syn",
            ),
            (
                "iptables -A INPUT -s %IP% -d 192.0.2.1 -i eth0 -p tcp -m state --state NEW,ESTABLISHED --dport 21 -j ACCEPT",
                "tcp/21, to 192.0.2.1, at eth0, --state ESTABLISHED,NEW",
            ),
            (
                "iptables -A INPUT -s %IP% -p tcp -m multiport --dports 80,22,80 -m comment --comment \"a b\" -j ACCEPT",
                "tcp/22 tcp/80, comment a b",
            ),
            ("ufw allow from %IP% to any port 22", "tcp/22 udp/22"),
            (
                "/usr/sbin/ufw insert 2 allow in on eth0 proto tcp from %IP% to 192.0.2.1 port 80,443 comment x",
                "tcp/80 tcp/443, number 2, to 192.0.2.1, at eth0",
            ),
            ("nft add rule inet filter input ip saddr %IP% tcp dport 22 accept", "tcp/22"),
            (
                "nft 'insert rule filter INPUT iifname \"eth0\" ip daddr 192.0.2.1 ip saddr %IP% udp dport {53,500-501} ct state { new, established } counter accept comment \"it is\"'",
                "udp/53 udp/500 udp/501, to 192.0.2.1, at eth0, ct state established,new",
            ),
        ] {
            assert_eq!(opened(command).as_deref(), Some(expected), "{command}");
        }
    }

    #[test]
    fn commands_that_nobody_knows_for_certain() {
        for command in [
            "",
            "iptables",
            "/tmp/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT",
            "sudo iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT; true",
            "iptables -A INPUT -s 192.0.2.1 -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP%/24 -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp -j ACCEPT",
            "iptables -A INPUT -s %IP% -p icmp --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 22 -j DROP",
            "iptables -A INPUT -s %IP% -p tcp --dport 22",
            "iptables -A INPUT ! -s %IP% -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 0 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 9:8 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 1:65535 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dport 22,80 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp --dports 22,80 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp -m state --state ESTABLISHED --dport 22 -j ACCEPT",
            "iptables -A INPUT -s %IP% -p tcp -m recent --set --dport 22 -j ACCEPT",
            "iptables -A FORWARD -s %IP% -p tcp --dport 22 -j ACCEPT",
            "iptables -t nat -A PREROUTING -s %IP% -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT",
            "iptables -D INPUT 1 -s %IP%",
            "ufw allow 22",
            "ufw allow from %IP%",
            "ufw allow from %IP% port 22",
            "ufw allow out from %IP% to any port 22",
            "ufw limit from %IP% to any port 22",
            "ufw deny from %IP% to any port 22",
            "ufw route allow from %IP% to any port 22",
            "ufw allow from %IP% to any port 22,80",
            "ufw delete 3",
            "nft add element inet filter knockers { %IP% }",
            "nft add rule inet filter input ip saddr %IP% accept",
            "nft add rule inet filter input tcp dport 22 accept",
            "nft add rule inet filter input ip saddr %IP% tcp dport 22 drop",
            "nft add rule inet filter input ip saddr %IP% tcp dport 22 accept log",
            "nft add rule inet filter input ip saddr != %IP% tcp dport 22 accept",
            "nft add rule inet filter forward ip saddr %IP% tcp dport 22 accept",
            "nft add rule netdev filter input ip saddr %IP% tcp dport 22 accept",
            "nft delete rule inet filter input handle 7",
            "nft -f /etc/nftables.conf",
        ] {
            assert_eq!(known(command), None, "{command}");
        }
    }

    #[test]
    fn reverses_are_known_by_what_they_delete() {
        let reverse = |add: &str, delete: &str| {
            let Some(Known::Add(rule, number)) = known(add) else { panic!("{add}") };
            known(delete).is_some_and(|delete| delete.takes_back(&rule, number))
        };
        let rule = "INPUT -s %IP% -p tcp --dport 22 -j ACCEPT";
        let other = "INPUT -s %IP% -p tcp --dport 23 -j ACCEPT";
        let add = format!("iptables -A {rule}");
        for (delete, is_reverse) in [
            (format!("/usr/sbin/iptables -w -D {rule}"), true),
            ("iptables -D INPUT -j ACCEPT -p tcp --dport 22 -s %IP%".into(), true),
            (format!("iptables -D {other}"), false),
            (format!("ip6tables -D {rule}"), false),
            (format!("iptables -A {rule}"), false),
            ("iptables -D INPUT 1".into(), false),
        ] {
            assert_eq!(reverse(&add, &delete), is_reverse, "{delete}");
        }
        let insert = format!("iptables -I {rule}");
        assert!(reverse(&insert, "iptables -D INPUT 1"));
        assert!(!reverse(&insert, "iptables -D INPUT 2"));
        assert!(!reverse(&insert, "iptables -D other 1"));
        assert!(reverse(
            "ufw insert 1 allow from %IP% to any port 22 proto tcp comment x",
            "ufw --force delete allow proto tcp from %IP% to any port 22"
        ));
    }
}

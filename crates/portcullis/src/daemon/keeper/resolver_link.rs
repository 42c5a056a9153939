//! The keeper's link to the resolver.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use nix::errno::Errno;
use portcullis_core::policy::{HostName, Policy};
use portcullis_firewall::compile::Hosts;
use portcullis_linux::clock;
use portcullis_watcher::message::Epoch;

use super::{AT_ONCE, Configuration, Keeper, say, warn};
use crate::daemon::parts::{self, system};
use crate::daemon::resolver::{Answer, Question};
use crate::exit::Failure;

/// A name server that is silent delays the names that wait behind it by some seconds, not by minutes
/// (resolv.conf(5)).
const PATIENCE: [(&str, &str); 1] = [("RES_OPTIONS", "timeout:2 attempts:2")];

/// The process that looks names up, and what it has found.
#[derive(Debug)]
pub struct ResolverLink {
    child: Child,
    socket: OwnedFd,
    question: Question,
    /// The question could not be sent, since the resolver has not heard the last ones yet.
    unasked: bool,
    found: Hosts,
}

impl AsFd for ResolverLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl ResolverLink {
    /// Starts it if the policy has a name in its allow-list.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(policy: &Policy) -> Result<Option<Self>, Failure> {
        if policy.allowed_hosts().is_empty() {
            return Ok(None);
        }
        let (child, socket) =
            parts::process(&["run-process", "resolver"], &PATIENCE, false, "resolves names")?;
        let question = Question { epoch: 0, names: Vec::new() };
        Ok(Some(Self { child, socket, question, unasked: false, found: Hosts::new() }))
    }

    /// What it has found so far.
    pub fn found(&self) -> Hosts {
        self.found.clone()
    }

    /// From now on it looks up the names of this policy.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn ask(&mut self, epoch: Epoch, policy: &Policy) -> Result<(), Failure> {
        let names: Vec<HostName> = policy.allowed_hosts().into_iter().cloned().collect();
        self.found.retain(|name, _| names.contains(name));
        self.question = Question { epoch, names };
        self.send()
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.unasked = match self.question.send(self.socket.as_fd()) {
            Ok(()) => false,
            Err(Errno::EAGAIN) => true,
            Err(Errno::EPIPE) => return Err(ended()),
            Err(errno) => return Err(system("send to the process that resolves names", errno)),
        };
        Ok(())
    }

    /// Hears one answer; `None` if there is none. If it is news, of which name.
    fn hear(&mut self) -> Result<Option<Option<HostName>>, Failure> {
        let answer = match Answer::receive(self.socket.as_fd()) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(ended()),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EBADMSG) => {
                return Err(Failure::could_not(
                    "invalid message from the process that resolves names",
                )
                .hint("the daemon stops; please report this bug"));
            }
            Err(errno) => {
                return Err(system("receive from the process that resolves names", errno));
            }
        };
        if self.unasked {
            self.send()?;
        }
        if answer.epoch != self.question.epoch {
            return Ok(Some(None));
        }
        let Some(name) = self.question.names.get(answer.index).cloned() else {
            return Ok(Some(None));
        };
        let mut addresses = answer.addresses;
        // Name servers turn the order around.
        addresses.sort_unstable();
        let before = self.found.insert(name.clone(), addresses.clone());
        Ok(Some((before != Some(addresses)).then_some(name)))
    }

    /// That it has not ended.
    ///
    /// # Errors
    ///
    /// It has.
    pub fn must_live(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(ended()),
        }
    }
}

fn ended() -> Failure {
    Failure::could_not("the process that resolves names exited").hint(
        "the rules stay loaded and guarded ports stay guarded; start the daemon again: systemctl \
         restart portcullis-run",
    )
}

impl Keeper {
    /// Whether the names of a configuration can be looked up: the process for it can only be started
    /// while there are privileges to give up.
    pub(super) fn can_look_up(&self, new: Configuration) -> Result<Configuration, Failure> {
        if self.resolver.is_none() && !new.policy.allowed_hosts().is_empty() {
            return Err(Failure::could_not(
                "`allow` now has a host name, but the daemon was started without names to resolve",
            )
            .hint("systemctl restart portcullis-run"));
        }
        Ok(new)
    }

    /// Hears what has been found, and lets the kernel know what is new.
    pub(super) fn take_hosts(&mut self) -> Result<(), Failure> {
        let Some(resolver) = &mut self.resolver else { return Ok(()) };
        let mut news = Vec::new();
        // Signals must not wait for a resolver that never ends.
        for _ in 0..AT_ONCE {
            let Some(name) = resolver.hear()? else { break };
            news.extend(name);
        }
        let Some((_, configuration)) = &self.current else { return Ok(()) };
        if news.is_empty() {
            return Ok(());
        }
        let found = resolver.found();
        match self.gate.allow(&configuration.policy, found.clone()) {
            Ok(()) => {
                for name in news {
                    if !self.pace.admits(clock()) {
                        continue;
                    }
                    let addresses = found.get(&name).map(Vec::as_slice).unwrap_or_default();
                    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                    say(format_args!("{name}: allowed from {}", addresses.join(", ")));
                }
            }
            Err(failure) if self.pace.admits(clock()) => warn(format_args!(
                "cannot update the addresses of allowed names; the old ones stay: {failure}"
            )),
            Err(_) => {}
        }
        Ok(())
    }
}

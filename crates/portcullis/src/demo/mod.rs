//! The whole story with real packets, in a private network; needs no root.
//!
//! Nothing is told that was not observed: each step ends with what came back over the wire, or with
//! what the kernel says it holds, and the first one that does not ends the story.
//!
//! | module | what it holds |
//! |---|---|
//! | `stage` | the host with its service, its gate and its daemon, and the client |
//! | `steps` | what happens, and what must be observed |
//! | `screen` | how it looks |

mod screen;
mod stage;
mod steps;
mod told;

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use portcullis_core::policy::Recogniser;
use portcullis_lab::Family;

use crate::exit::{Exit, Failure, Outcome};
use crate::out::say;
use screen::{Current, Screen};
use stage::Stage;
use steps::Order;

/// The story takes a third of this; longer, and something hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Tells the story: in full for the first family, in short for the others.
///
/// # Errors
///
/// The private network cannot be made, or a step was not observed.
pub fn tell(recogniser: Recogniser, families: &[Family]) -> Outcome {
    portcullis_lab::enter()?;
    let mut screen = Screen::new();
    // Stops watching when it is dropped, at the end of this function.
    let _watched = watch(screen.current());
    let outcome = play(&mut screen, recogniser, families);
    match &outcome {
        Ok(()) => screen.finish(),
        Err(_) => screen.give_up(),
    }
    outcome.map(|()| Exit::Done)
}

fn play(screen: &mut Screen, recogniser: Recogniser, families: &[Family]) -> Result<(), Failure> {
    let mut stage = Stage::set(recogniser)?;
    screen.introduce(&stage, families);
    screen.step("The rules are loaded", |log| steps::gate_goes_down(&mut stage, log))?;
    for (number, &family) in families.iter().enumerate() {
        screen.begin(family, number > 0);
        // The connection of the fifth step is needed in the seventh.
        let mut open = None;
        screen.step("A port scan: the guarded port looks like a closed port", |log| {
            steps::scan(&stage, family, log)
        })?;
        screen.step("A connection without knocks is refused", |log| {
            steps::plain_connect(&stage, family, log)
        })?;
        screen.step("The correct knocks in the wrong order open nothing", |log| {
            steps::wrong_order(&mut stage, family, log)
        })?;
        screen.step("The correct sequence opens the door", |log| {
            steps::right_knock(&mut stage, family, log)
        })?;
        screen.step("The client can now connect to the service", |log| {
            steps::connect(&stage, family, log).map(|stream| open = Some(stream))
        })?;
        screen.step("For other addresses the port still looks closed", |log| {
            steps::other_address(&stage, family, log)
        })?;
        screen.step("The grant ends after its time; the open connection continues", |log| {
            steps::closes(&mut stage, family, open.take(), log)
        })?;
        let (title, orders) = match number {
            0 => ("Sweeps of all 65,535 ports, TCP and UDP, open nothing", &Order::ALL[..]),
            _ => (
                "A shuffled sweep of all ports, TCP and UDP, opens nothing",
                &[Order::Shuffled][..],
            ),
        };
        screen.step(title, |log| steps::sweeps(&mut stage, family, orders, log))?;
    }
    match recogniser {
        Recogniser::Kernel => Ok(()),
        Recogniser::Both => {
            screen.begin_end();
            screen.step("The daemon is killed: the kernel still opens the door", |log| {
                steps::killed_and_still_opens(&mut stage, families, log)
            })
        }
        Recogniser::Daemon => {
            screen.begin_end();
            screen.step("The daemon is killed: grants still end, and no door opens", |log| {
                steps::killed_and_stays_shut(&mut stage, families, log)
            })
        }
    }
}

/// Ends the process when the story has not come to its end in time. The daemon dies with us.
fn watch(current: Current) -> Sender<()> {
    let (alive, gone) = mpsc::channel();
    thread::spawn(move || {
        if gone.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let step = current.name();
            let seconds = LIMIT.as_secs();
            say(&format!("error: {step}: not finished after {seconds} seconds"));
            process::exit(i32::from(Exit::No as u8));
        }
    });
    alive
}

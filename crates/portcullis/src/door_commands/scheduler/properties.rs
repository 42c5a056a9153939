//! Random knocks, ends and times, held to what must never be.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Knock {
        door: u8,
        address: u8,
        stop: Option<u8>,
    },
    /// Of the commands that run, the one at this place (modulo their number) ends so.
    End {
        place: usize,
        ended: Ended,
    },
    Pass {
        millis: u64,
    },
    Disk {
        works: bool,
    },
}

fn ended() -> impl Strategy<Value = Ended> {
    prop_oneof![
        6 => Just(Ended::Code(0)),
        2 => Just(Ended::Code(1)),
        1 => Just(Ended::Signal),
        1 => Just(Ended::NotBegun("none".to_owned())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..2u8, 0..3u8, prop_oneof![8 => Just(Some(0)), 1 => Just(Some(1)), 1 => Just(None)])
            .prop_map(|(door, address, stop)| Step::Knock { door, address, stop }),
        5 => (any::<usize>(), ended()).prop_map(|(place, ended)| Step::End { place, ended }),
        4 => (0..4000u64).prop_map(|millis| Step::Pass { millis }),
        1 => any::<bool>().prop_map(|works| Step::Disk { works }),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), 1..4usize, 0..4usize, 1..6usize).prop_map(
        |(strict, at_once, waiting, records)| Options { strict, at_once, waiting, records },
    )
}

/// What a machine sees of the scheduler.
#[derive(Debug, Default)]
struct World {
    disk_works: bool,
    disk: BTreeMap<JobId, PendingStop>,
    recorded: BTreeMap<JobId, u32>,
    forgotten: BTreeMap<JobId, u32>,
    running: Vec<(JobId, Which)>,
    /// Openings with a stop whose start has begun and whose stop has not ended.
    begun: BTreeMap<JobId, Key>,
    /// Doors that are open now, by a start command that succeeded.
    open: BTreeSet<Key>,
    stops_run: BTreeMap<JobId, u32>,
    /// Steps at which a crash is to be looked at.
    actions: usize,
}

impl World {
    fn key(job: &Entry) -> Key {
        (job.door.clone(), job.address)
    }

    /// Does what the scheduler wants, and looks at it after each action.
    fn act(&mut self, scheduler: &mut Scheduler, most: usize) -> Result<(), TestCaseError> {
        while self.actions < most
            && let Some(action) = scheduler.next_action()
        {
            self.actions += 1;
            match action {
                Action::Record(record) => {
                    let id = record.id;
                    let result = if self.disk_works { Ok(()) } else { Err("full".to_owned()) };
                    if self.disk_works {
                        prop_assert!(self.disk.insert(id, record).is_none());
                        *self.recorded.entry(id).or_default() += 1;
                    }
                    scheduler.handle_recorded(id, result);
                }
                Action::HandOver(record) => {
                    prop_assert!(record.due.is_some());
                    self.begun.remove(&record.id);
                    prop_assert!(self.disk.insert(record.id, record).is_some());
                }
                Action::Forget(id) => {
                    prop_assert!(self.disk.remove(&id).is_some(), "forgotten and not recorded");
                    prop_assert!(!self.begun.contains_key(&id), "forgotten and not stopped");
                    *self.forgotten.entry(id).or_default() += 1;
                }
                Action::Run { id, which, recorded, .. } => {
                    self.run(scheduler, id, which, recorded)?;
                }
                Action::Log(_) => {}
            }
            for id in self.begun.keys() {
                prop_assert!(self.disk.contains_key(id), "a crash now leaks a door");
            }
            for which in [Which::Start, Which::Stop] {
                let running = self.running.iter().filter(|(_, other)| *other == which).count();
                prop_assert!(running <= scheduler.options.at_once);
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        scheduler: &Scheduler,
        id: JobId,
        which: Which,
        recorded: bool,
    ) -> Result<(), TestCaseError> {
        let entry = &scheduler.entries[&id];
        prop_assert_eq!(recorded, entry.stop.is_some());
        prop_assert!(self.running.iter().all(|(other, _)| *other != id));
        self.running.push((id, which));
        if entry.stop.is_none() {
            return Ok(());
        }
        prop_assert!(self.disk.contains_key(&id));
        let key = Self::key(entry);
        if !scheduler.options.strict {
            let others = self.begun.iter().filter(|(other, _)| **other != id);
            prop_assert!(others.clone().all(|(_, other)| *other != key), "side by side");
            prop_assert!(which == Which::Stop || !self.open.contains(&key), "opened twice");
        }
        match which {
            Which::Start => {
                self.begun.insert(id, key);
            }
            Which::Stop => {
                prop_assert!(self.begun.contains_key(&id), "stopped and not started");
                self.open.remove(&key);
                *self.stops_run.entry(id).or_default() += 1;
            }
        }
        Ok(())
    }

    fn end(&mut self, scheduler: &mut Scheduler, place: usize, ended: Ended, now: Instant) {
        let Some(at) = place.checked_rem(self.running.len()) else { return };
        let (id, which) = self.running.remove(at);
        let never = matches!(ended, Ended::NotBegun(_));
        match which {
            Which::Start if ended == Ended::Code(0) => {
                self.open.extend(self.begun.get(&id).cloned());
            }
            // The first start that did not begin has opened nothing; a repeated one may follow one
            // that has.
            Which::Start if never && scheduler.entries[&id].began == Began::Unknown => {
                self.begun.remove(&id);
            }
            Which::Stop if never => {
                *self.stops_run.entry(id).or_default() -= 1;
            }
            Which::Stop => {
                self.begun.remove(&id);
            }
            Which::Start => {}
        }
        scheduler.handle_exit(id, ended, now);
    }
}

fn job(door: u8, address: u8, stop: Option<u8>) -> Job {
    Job {
        door: vec![b'a' + door],
        address: [203, 0, 113, address].into(),
        start: Some("on".into()),
        stop: stop.map(|stop| format!("off {stop}").into()),
        open_for: Duration::from_secs(3),
    }
}

/// Runs the steps, or as many actions as wanted.
fn run(
    options: Options,
    steps: &[Step],
    most: usize,
) -> Result<(Scheduler, World, Instant), TestCaseError> {
    let mut scheduler = Scheduler::new(options);
    let mut world = World { disk_works: true, ..World::default() };
    let mut now = Instant::from_millis(1000);
    for step in steps {
        match step.clone() {
            Step::Knock { door, address, stop } => {
                scheduler.open(job(door, address, stop), now);
            }
            Step::End { place, ended } => world.end(&mut scheduler, place, ended, now),
            Step::Pass { millis } => {
                now = now.after(Duration::from_millis(millis));
                scheduler.handle_timeout(now);
            }
            Step::Disk { works } => world.disk_works = works,
        }
        world.act(&mut scheduler, most)?;
        if world.actions >= most {
            break;
        }
        prop_assert!(scheduler.pending <= options.records);
        // Knocks that were remembered until a stop command had ended are beside those.
        let most = options.waiting + options.at_once + options.records;
        prop_assert!(scheduler.starts.len() <= most);
        prop_assert!(scheduler.stops.is_empty() || scheduler.stopping == options.at_once);
        prop_assert!(scheduler.starts.is_empty() || scheduler.starting == options.at_once);
    }
    Ok((scheduler, world, now))
}

/// Lets everything end, well.
fn run_out(
    scheduler: &mut Scheduler,
    world: &mut World,
    mut now: Instant,
) -> Result<(), TestCaseError> {
    world.disk_works = true;
    loop {
        world.act(scheduler, usize::MAX)?;
        if !world.running.is_empty() {
            world.end(scheduler, 0, Ended::Code(0), now);
        } else if let Some(due) = scheduler.poll_timeout() {
            prop_assert!(due > now, "what is due has been done");
            now = due;
            scheduler.handle_timeout(now);
        } else {
            break;
        }
    }
    prop_assert!(scheduler.entries.is_empty() && scheduler.keys.is_empty());
    prop_assert_eq!((scheduler.running(), scheduler.pending), (0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_forgotten_once(
        options in options(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let (mut scheduler, mut world, now) = run(options, &steps, usize::MAX)?;
        run_out(&mut scheduler, &mut world, now)?;
        prop_assert!(world.disk.is_empty() && world.begun.is_empty() && world.open.is_empty());
        prop_assert!(world.recorded.values().all(|times| *times == 1));
        prop_assert_eq!(&world.recorded, &world.forgotten);
        prop_assert!(world.stops_run.values().all(|times| *times <= 1), "stopped twice");
    }

    /// The disk is all that is left of it. What runs there and then may end in any way.
    #[test]
    fn after_a_crash_at_any_moment_the_next_life_closes_every_door(
        options in options(),
        steps in prop::collection::vec(step(), 0..60),
        most in 0..80usize,
    ) {
        let (_, crashed, now) = run(options, &steps, most)?;
        let mut scheduler = Scheduler::new(options);
        let mut world = World { begun: crashed.begun, disk: crashed.disk, ..World::default() };
        // By an earlier start that succeeded, or by one that was running.
        world.open = world.begun.values().cloned().collect();
        for (id, record) in &world.disk {
            // A record whose start had no time to begin is stopped too.
            world.begun.entry(*id).or_insert_with(|| (record.door.clone(), record.address));
            scheduler.adopt(record.clone(), now, false);
        }
        scheduler.handle_timeout(now);
        let left: Vec<JobId> = world.disk.keys().copied().collect();
        run_out(&mut scheduler, &mut world, now)?;
        prop_assert!(world.disk.is_empty() && world.begun.is_empty() && world.open.is_empty());
        prop_assert!(left.iter().all(|id| world.stops_run.get(id) == Some(&1)));
    }

    #[test]
    fn at_the_end_nothing_is_left_or_all_is_handed_over(
        options in options(),
        steps in prop::collection::vec(step(), 0..60),
        how in prop_oneof![Just(AtExit::RunStops), Just(AtExit::HandOver)],
    ) {
        let (mut scheduler, mut world, now) = run(options, &steps, usize::MAX)?;
        let pending = world.begun.len();
        scheduler.shut_down(how, now);
        if how == AtExit::RunStops {
            run_out(&mut scheduler, &mut world, now)?;
            prop_assert!(world.disk.is_empty());
        } else {
            world.act(&mut scheduler, usize::MAX)?;
            let stopping = world.running.iter().filter(|(_, which)| *which == Which::Stop).count();
            while !world.running.is_empty() {
                world.end(&mut scheduler, 0, Ended::Code(0), now);
                world.act(&mut scheduler, usize::MAX)?;
            }
            prop_assert_eq!(world.disk.len(), pending - stopping);
            prop_assert!(world.disk.values().all(|record| record.due.is_some()));
        }
        prop_assert!(scheduler.is_done() && world.begun.is_empty());
    }
}

//! What holds for every service and every sequence of answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::settings::LabelFilter;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Bits of two numbers say who is well and who is lost of those that are not.
    Answer(u16, u16),
    Trouble,
    Wait(u64),
}

/// Ten hosts are enough for shares and few enough to collide.
const HOSTS: u16 = 10;

fn backend(host: u16) -> Backend {
    let label = ("zone".to_owned(), (host % 3).to_string());
    Backend { host: format!("h{host}"), port: 80, id: Some(u64::from(host)), labels: [label].into(), ..Backend::default() }
}

fn chosen(bits: u16) -> Vec<Backend> {
    (0..HOSTS).filter(|host| bits >> host & 1 == 1).map(backend).collect()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u16>(), any::<u16>()).prop_map(|(well, lost)| Step::Answer(well, lost & !well)),
        1 => Just(Step::Trouble),
        2 => (1_u64..40).prop_map(Step::Wait),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, prop::option::of(1_u16..3), prop::option::of(1_u16..3)).prop_map(
        |((keep, previous, leader, filter), port, backup)| {
            let default = Backend { host: "d".into(), port: 1, id: Some(99), ..Backend::default() };
            let filter = filter.then(|| LabelFilter { label: "zone".into(), value: "1".into(), is_equal: false });
            Service {
                name: "web".into(),
                default_servers: if keep { vec![default] } else { Vec::new() },
                keep_default_servers: keep,
                use_previous_backends: previous,
                backend_port_override: port,
                backup_port: backup,
                leader_election: leader,
                label_filters: filter.into_iter().collect(),
                ..Service::default()
            }
        },
    )
}

fn hosts(keeper: &Keeper) -> BTreeSet<String> {
    keeper.known().backends.iter().flat_map(|backends| backends.iter().map(|backend| backend.host.clone())).collect()
}

/// Does all steps; `check` sees each: before, the last answer, after, now.
fn play(
    keeper: &mut Keeper,
    steps: &[Step],
    mut check: impl FnMut(&BTreeSet<String>, (&[Backend], &[Backend]), &Keeper, Instant) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut now = Instant::now();
    let (mut well, mut lost) = (Vec::new(), Vec::new());
    for step in steps {
        let before = hosts(keeper);
        match step {
            Step::Answer(well_bits, lost_bits) => {
                (well, lost) = (chosen(*well_bits), chosen(*lost_bits));
                keeper.trouble(None);
                keeper.answer(&well, &lost, now);
            }
            Step::Trouble => keeper.trouble(Some("away".into())),
            Step::Wait(seconds) => {
                now += Duration::from_secs(*seconds);
                keeper.tick(now);
            }
        }
        check(&before, (&well, &lost), keeper, now)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn trouble_takes_nothing_out(service in service(), steps in prop::collection::vec(step(), 1..30), wait in 1_u64..1000) {
        let mut keeper = Keeper::new(&service, Guard::default());
        play(&mut keeper, &steps, |_, _, _, _| Ok(()))?;
        let before = keeper.known().clone();
        keeper.trouble(Some("away".into()));
        keeper.tick(Instant::now() + Duration::from_secs(wait));
        prop_assert_eq!(&keeper.known().backends, &before.backends);
        prop_assert_eq!(keeper.known().n_held, before.n_held);
    }

    #[test]
    fn the_order_of_an_answer_does_not_matter(
        service in service(),
        steps in prop::collection::vec(step(), 0..10),
        (last, mixed) in prop::collection::vec((0..HOSTS, 0_u32..3), 0..20).prop_flat_map(|found| {
            let found: Vec<_> = found.into_iter().map(|(host, weight)| Backend { weight: Some(weight), ..backend(host) }).collect();
            (Just(found.clone()), Just(found).prop_shuffle())
        }),
    ) {
        let sorted = |found: &[Backend]| {
            let mut keeper = Keeper::new(&service, Guard::default());
            play(&mut keeper, &steps, |_, _, _, _| Ok(())).unwrap();
            keeper.answer(found, &[], Instant::now());
            keeper.known().backends.as_ref().unwrap().iter().cloned().collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(sorted(&last), sorted(&mixed));
    }

    #[test]
    fn not_more_go_within_a_window_than_the_guard_allows(
        percent in 0_u8..=100,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let window = Duration::from_secs(60);
        let mut keeper = Keeper::new(&Service::default(), Guard { percent, window });
        let mut gone: BTreeMap<String, Instant> = BTreeMap::new();
        play(&mut keeper, &steps, |before, (well, lost), keeper, now| {
            gone.retain(|_, at| now - *at < window);
            let after = hosts(keeper);
            let lost: BTreeSet<_> = lost.iter().map(|backend| backend.host.clone()).collect();
            let newly: Vec<_> = before.iter().filter(|host| lost.contains(*host) && !after.contains(*host)).cloned().collect();
            let well = well.iter().map(|backend| backend.host.clone());
            let set: BTreeSet<_> = well.chain(lost.intersection(before).cloned()).chain(gone.keys().cloned()).collect();
            if !newly.is_empty() {
                gone.extend(newly.into_iter().map(|host| (host, now)));
                prop_assert!(gone.len() <= (set.len() * usize::from(percent) / 100).max(1), "{gone:?} of {set:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn held_ones_are_lost_ones_and_go_with_the_proof(steps in prop::collection::vec(step(), 1..60)) {
        let mut keeper = Keeper::new(&Service::default(), Guard::default());
        let mut is_known = false;
        play(&mut keeper, &steps, |before, (well, lost), keeper, _| {
            let was_known = std::mem::replace(&mut is_known, keeper.known().backends.is_some());
            let names = |found: &[Backend]| found.iter().map(|backend| backend.host.clone()).collect::<BTreeSet<_>>();
            let (well, lost, after) = (names(well), names(lost), hosts(keeper));
            prop_assert!(well.is_subset(&after), "who is well is in");
            let held: BTreeSet<_> = after.difference(&well).cloned().collect();
            prop_assert!(held.is_subset(&lost), "who is neither well nor lost is proved gone");
            prop_assert!(!was_known || held.is_subset(before), "nobody comes in lost, but at first");
            prop_assert_eq!(held.len(), keeper.known().n_held);
            prop_assert_eq!(keeper.deadline().is_some(), !held.is_empty() && keeper.known().trouble.is_none());
            Ok(())
        })?;
    }

    #[test]
    fn what_is_held_goes_in_the_end(lost in any::<u16>(), percent in 0_u8..=100) {
        let mut keeper = Keeper::new(&Service::default(), Guard { percent, window: Duration::from_secs(60) });
        let mut now = Instant::now();
        keeper.answer(&chosen(u16::MAX), &[], now);
        keeper.answer(&chosen(!lost), &chosen(lost), now);
        for _ in 0..=HOSTS {
            if let Some(deadline) = keeper.deadline() {
                prop_assert!(deadline > now);
                now = deadline;
                keeper.tick(now);
            }
        }
        prop_assert_eq!((keeper.known().n_held, keeper.deadline()), (0, None));
    }
}

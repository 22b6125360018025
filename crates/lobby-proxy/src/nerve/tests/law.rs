//! The law of reloads: whatever follows whatever, what was told and is still wanted is there at every moment, and in the end
//! exactly what is wanted is told.

use proptest::prelude::*;

use super::*;

/// What the settings say of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Absent,
    /// Another number is another service of the same name.
    Well(u8),
    Ill,
    Hangs,
    Noop,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The `turn` counts changes, so that what a task tells is not taken for what one before it told.
fn wanted(name: &str, (want, turn): (Want, usize)) -> Option<Service> {
    let path = match want {
        Want::Absent => return None,
        Want::Well(_) | Want::Noop => "/ok",
        Want::Ill => "/bad",
        Want::Hangs => "/hangs",
    };
    let mut service = service(name, vec![check(path, 1, 1)]);
    service.payload.labels = Some([("v".to_owned(), turn.to_string())].into());
    if want == Want::Noop {
        service.reporter = Reporter::Noop;
    }
    Some(service)
}

fn told(wants: [(Want, usize); 3]) -> Arc<Settings> {
    Arc::new(settings(NAMES.iter().zip(wants).filter_map(|(name, want)| wanted(name, want)).collect()))
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        1 => Just(Want::Absent),
        4 => (0_u8..3).prop_map(Want::Well),
        1 => Just(Want::Ill),
        1 => Just(Want::Hangs),
        1 => Just(Want::Noop),
    ]
}

async fn obeys(steps: Vec<([Want; 3], u64)>) {
    // Long enough for much to happen meanwhile.
    let catalog = Catalog { delay: Duration::from_millis(20), ..Catalog::new() };
    let it = It::start_with(settings(vec![]), catalog, Web::default());
    it.web.set("/ok", true);
    it.web.set("/bad", false);
    let mut must = [false; 3];
    let mut last = [(Want::Absent, 0); 3];
    for (turn, (wants, pause)) in steps.into_iter().enumerate() {
        last = std::array::from_fn(|at| if last[at].0 == wants[at] { last[at] } else { (wants[at], turn) });
        it.settings.send_replace(told(last));
        for at in 0..3 {
            must[at] &= matches!(wants[at], Want::Well(_));
        }
        for _ in 0..=pause / 5 {
            let there = it.catalog.ids();
            for at in 0..3 {
                let is_there = there.contains(&format!("{}_i", NAMES[at]));
                assert!(is_there || !must[at], "{} is gone: {:?}", NAMES[at], it.catalog.seen.lock().unwrap().told);
                // One that was there from something else may still be taken back.
                must[at] |= is_there && matches!(wants[at], Want::Well(_)) && it.is_told(NAMES[at], last[at]);
            }
            pass(5).await;
        }
    }
    pass(45_000).await;
    let want: BTreeMap<_, _> = NAMES
        .iter()
        .zip(last)
        .filter(|(_, (want, _))| matches!(want, Want::Well(_)))
        .filter_map(|(name, want)| wanted(name, want).map(|service| (service.payload.id.clone(), service.payload)))
        .collect();
    assert_eq!(it.catalog.seen.lock().unwrap().there, want);
    assert!(it.stop().await.ids().is_empty());
}

impl It {
    /// Exactly this is told of it.
    fn is_told(&self, name: &str, want: (Want, usize)) -> bool {
        let payload = wanted(name, want).map(|service| service.payload);
        self.catalog.seen.lock().unwrap().there.get(&format!("{name}_i")) == payload.as_ref()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_follows_whatever(steps in prop::collection::vec(([want(), want(), want()], prop_oneof![0_u64..30, 0_u64..1_500]), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(obeys(steps));
    }
}

//! Whatever is asked in whatever order: the record, the view and the journal tell the same, and a restart finds it.

use std::collections::BTreeMap;

use bytes::Bytes;
use lobby_core::{
    id::{Generation, NodeId},
    local::LocalRecord,
    port::registry::Source,
    record::Record,
    time::Moment,
};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::Clock,
    registry::{
        files::{Definitions, File},
        guard::Unsaved,
        job::{Cause, What},
        plan::Facts,
        restore::Start,
        state::State,
    },
};

#[derive(Clone, Debug)]
enum Input {
    What(What),
    Files(Definitions),
    Beat(Id, Status),
    /// So many seconds pass.
    Pass(u64),
}

/// Everything that must tell the same.
struct Worlds {
    state: State,
    local: LocalRecord,
    journal: BTreeMap<Bytes, Bytes>,
    own: Arc<Record>,
    now: Moment,
}

fn record() -> LocalRecord {
    LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap())
}

impl Worlds {
    fn new() -> Self {
        let local = record();
        let own = local.record().clone();
        Self { state: State::new(false), local, journal: BTreeMap::new(), own, now: Moment::from_micros(1 << 40) }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::What(what) => self.job(what),
            Input::Files(definitions) => {
                self.state.of_files(&definitions).into_iter().for_each(|what| self.job(what));
            }
            Input::Beat(check, status) => _ = self.state.beat(&check, status, "said", self.now),
            Input::Pass(seconds) => {
                self.now = self.now + Duration::from_secs(seconds);
                for (instance, check) in self.state.handle_deadlines(self.now) {
                    self.job(What::Deregister(instance, Cause::Critical(check)));
                }
                self.save();
            }
        }
        for change in std::mem::take(&mut self.state.changes) {
            self.local.apply(&change).unwrap();
        }
    }

    fn job(&mut self, what: What) {
        let facts = Facts { own: &self.own, now: self.now };
        let Ok(plan) = self.state.plan(what, &facts) else { return };
        self.local.reserve(&plan.reserve).unwrap();
        for entry in plan.entries {
            if !entry.key.starts_with(b"s") {
                assert_eq!(self.journal.get(&entry.key), entry.before.as_ref(), "{:?}", entry.key);
            }
            match entry.after {
                Some(value) => self.journal.insert(entry.key, value),
                None => self.journal.remove(&entry.key),
            };
        }
        plan.steps.into_iter().for_each(|step| self.state.apply(step, self.now, 7));
        for change in std::mem::take(&mut self.state.changes) {
            self.local.apply(&change).unwrap();
        }
    }

    fn save(&mut self) {
        let entries = self.state.save(Unsaved::Remains, self.now, |_| false);
        self.journal.extend(entries.into_iter().map(|(_, key, value)| (key, value)));
    }

    /// What is told is what is registered.
    fn check(&mut self) {
        let _ = self.local.commit(self.now);
        let record = self.local.record();
        let view = &self.state.view;
        assert!(record.instances().eq(view.instances.values().map(|known| (*known.instance).clone())));
        let told = record.checks().map(|check| (check.id, check.instance, check.status, check.notes));
        let known =
            view.checks.values().map(|check| (check.id.clone(), check.instance.clone(), check.status, check.notes.to_string()));
        assert!(told.eq(known), "{record:?} {view:?}");
        for check in view.checks.values() {
            assert!(check.instance.as_ref().is_none_or(|instance| view.instances.contains_key(instance)), "{check:?}");
            assert!(self.state.owned[&check.instance].contains(&check.id));
        }
        assert_eq!(self.state.owned.values().map(|checks| checks.len()).sum::<usize>(), view.checks.len());
    }

    /// A start from this journal tells what was told before.
    async fn restart(&mut self) {
        // Outputs that wait for their turn are told.
        self.input(Input::Pass(6));
        let mut start = Start::open(&Store::temporary(), false, Clock::start()).await.unwrap();
        start.restore(self.journal.clone());
        let mut local = record();
        start.fill(&mut local);
        let _ = self.local.commit(self.now);
        let _ = local.commit(self.now);
        assert_eq!(local.record().content_hash(), self.local.record().content_hash());
        assert_eq!(start.state.view.instances.len(), self.state.view.instances.len());
        for (known, found) in self.state.view.instances.values().zip(start.state.view.instances.values()) {
            assert_eq!(known, found, "with who registered it");
        }
        let keys = self.journal.keys().filter(|key| key.starts_with(b"s")).count();
        assert!(keys <= self.state.guards.len(), "no state is left behind");
    }
}

fn names(prefix: &'static str) -> impl Strategy<Value = String> {
    (0..3_u8).prop_map(move |n| format!("{prefix}{n}"))
}

fn new_check() -> impl Strategy<Value = NewCheck> {
    (names("c"), prop::sample::select(vec![2, 1000]), any::<bool>()).prop_map(|(name, seconds, dies)| {
        let deregister_after = if dies { 60 * SECOND } else { Duration::ZERO };
        check(&name, None, Draft { deregister_after, ..ttl(seconds) })
    })
}

fn new_registration() -> impl Strategy<Value = Registration> {
    let parts = (names("i"), 0..2_u16, any::<bool>(), prop::collection::vec(new_check(), 0..3), any::<bool>());
    parts.prop_map(|(name, port, drain, checks, replace_checks)| {
        let instance = Instance { port, drain, ..instance(&name) };
        Registration { instance, checks, replace_checks }
    })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Node), names("i").prop_map(|name| Target::Instance(id(&name)))]
}

fn input() -> impl Strategy<Value = Input> {
    let owned = || {
        (new_check(), prop::option::of(names("i")))
            .prop_map(|(check, instance)| NewCheck { instance: instance.map(|name| id(&name)), ..check })
    };
    let file = (0..2_u8, prop::collection::vec(new_registration(), 0..3), prop::collection::vec(owned(), 0..2))
        .prop_map(|(n, registrations, checks)| File { name: format!("{n}.toml").into(), registrations, checks });
    prop_oneof![
        3 => new_registration().prop_map(|new| Input::What(What::Register(Box::new(new), Source::Api))),
        2 => owned().prop_map(|check| Input::What(What::SetCheck(Box::new(check), Source::Api))),
        2 => names("i").prop_map(|name| Input::What(What::Deregister(id(&name), Cause::Asked))),
        1 => names("c").prop_map(|name| Input::What(What::RemoveCheck(id(&name), Cause::Asked))),
        1 => (target(), any::<bool>()).prop_map(|(target, on)| Input::What(What::Maintain(target, on.then(|| "x".into())))),
        1 => (target(), any::<bool>()).prop_map(|(target, drain)| Input::What(What::Drain(target, drain))),
        1 => prop::collection::vec(file, 0..2).prop_map(|files| Input::Files(Definitions { files, ..Definitions::default() })),
        3 => (names("c"), 0..3_usize).prop_map(|(check, status)| Input::Beat(id(&check), Status::ALL[status])),
        1 => (0..40_u64).prop_map(Input::Pass),
    ]
}

proptest! {
    #[test]
    fn record_view_and_journal_tell_the_same(inputs in prop::collection::vec(input(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut worlds = Worlds::new();
        for input in inputs {
            worlds.input(input);
            worlds.check();
        }
        runtime.block_on(worlds.restart());
    }
}

//! Laws of stamps and indexes: what nodes offer is what their records tell, and of every scope (a node, its instances and checks,
//! a name, a table) the index rises exactly when its content is another, to the revision that shows it; it never falls.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use imbl::OrdMap;
use lobby_core::{
    catalog::{NodeOffers, Snapshot, Stamped},
    check::view::CheckView,
    id::{Origin, Revision},
    instance::Id,
    service,
    time::Now,
    wire::rest,
};
use proptest::{collection::vec, prelude::*};

use crate::service_view::{NodeItself, Plain, Run, Step, naive, plain, shown, step};

const NAMES: &[&str] = &["n0", "N1", "nobody"];

/// What an instance adds to the list of services: its service and tags.
type Listed = (Id, Vec<String>);

/// All that one node shows.
#[derive(Clone, Debug, PartialEq)]
struct Content {
    itself: NodeItself,
    instances: BTreeMap<Id, Plain>,
    checks: BTreeMap<Id, CheckView>,
}

type Contents = BTreeMap<Origin, Content>;

impl Content {
    fn listed(&self) -> BTreeMap<&Id, Listed> {
        let listed = |plain: &Plain| (plain.instance.service.clone(), plain.instance.tags.to_vec());
        self.instances.iter().map(|(id, plain)| (id, listed(plain))).collect()
    }

    /// What the list of checks shows of it.
    fn checks(&self) -> impl PartialEq + Debug + use<> {
        let listed = |id: &Id| Some((self.instances.get(id)?.instance.service.clone(), self.listed()[id].1.clone()));
        let told = |check: &CheckView| (check.clone(), check.instance.as_ref().and_then(listed));
        (self.itself.name.clone(), self.itself.failed, self.checks.values().map(told).collect::<Vec<_>>())
    }
}

/// What every node shows, from its record.
fn contents(snapshot: &Snapshot) -> Contents {
    let content = |node: &Arc<lobby_core::catalog::Node>| {
        let checks = node.record.checks().map(|check| (check.id.clone(), check)).collect();
        Content { itself: NodeItself::of(node), instances: BTreeMap::new(), checks }
    };
    let mut contents: Contents = shown(snapshot).map(|(origin, node)| (origin.clone(), content(node))).collect();
    for (place, plain) in naive(snapshot).into_values().flatten() {
        contents.get_mut(&place.origin).unwrap().instances.insert(place.id, plain);
    }
    contents
}

/// The law of one scope.
fn law<T: PartialEq + Debug>(
    what: &dyn Debug,
    was: (&T, Revision),
    is: (&T, Revision),
    now: Revision,
) -> Result<(), TestCaseError> {
    if was.0 == is.0 {
        prop_assert_eq!(was.1, is.1, "{:?} is as it was: {:?}", what, is.0);
    } else {
        prop_assert!(was.1 < is.1 && is.1 == now, "{:?} {:?} {:?} now {:?}: {:?}", what, was.1, is.1, now, is.0);
    }
    Ok(())
}

/// The laws of stamps of one kind of value; what must be equal for the same stamp is told by `content`.
fn stamps<T: Debug, C: PartialEq + Debug>(
    old: Option<&OrdMap<Id, Stamped<T>>>,
    new: &OrdMap<Id, Stamped<T>>,
    content: impl Fn(&T) -> C,
    now: Revision,
) -> Result<(), TestCaseError> {
    for (id, new) in new {
        prop_assert!(new.created <= new.modified && new.modified <= now);
        match old.and_then(|old| old.get(id)) {
            Some(old) => {
                prop_assert_eq!(old.created, new.created);
                law(id, (&content(&old.value), old.modified), (&content(&new.value), new.modified), now)?;
            }
            None => prop_assert_eq!((new.created, new.modified), (now, now)),
        }
    }
    Ok(())
}

/// The laws of one node that shows.
fn node(before: Option<&NodeOffers>, now: &NodeOffers, content: &Content, revision: Revision) -> Result<(), TestCaseError> {
    let value = |(id, view): (&Id, &Stamped<_>)| (id.clone(), CheckView::clone(&view.value));
    let shown = Content {
        itself: NodeItself::shown(&now.node),
        instances: now.instances.iter().map(|(id, view)| (id.clone(), plain(&view.value.place(), &view.value))).collect(),
        checks: now.checks.iter().map(value).collect(),
    };
    prop_assert_eq!(&shown, content);
    prop_assert!(now.created <= now.modified && now.modified <= now.index && now.index <= revision);
    let stamped = now.instances.values().map(|view| view.modified).chain(now.checks.values().map(|check| check.modified));
    prop_assert!(stamped.max().is_none_or(|newest| newest <= now.index));
    stamps(before.map(|before| &before.instances), &now.instances, |view| (view.instance.clone(), view.from_label), revision)?;
    stamps(before.map(|before| &before.checks), &now.checks, CheckView::clone, revision)?;
    let Some(before) = before else {
        prop_assert_eq!((now.created, now.modified, now.index), (revision, revision, revision));
        return Ok(());
    };
    prop_assert_eq!(before.created, now.created);
    let itself = |offers: &NodeOffers| NodeItself::shown(&offers.node);
    law(&"itself", (&itself(before), before.modified), (&shown.itself, now.modified), revision)
}

/// The laws of the indexes of names and tables.
fn scopes(before: (&Snapshot, &Contents), now: (&Snapshot, &Contents)) -> Result<(), TestCaseError> {
    let ((before, old), (now, new)) = (before, now);
    for name in NAMES {
        let of = |contents: &Contents| -> Contents {
            let all = contents.clone().into_iter();
            all.filter(|(_, content)| content.itself.name.as_str().eq_ignore_ascii_case(name)).collect()
        };
        let (was, is) = (of(old), of(new));
        law(name, (&was, before.node_index(name)), (&is, now.node_index(name)), now.revision)?;
        let found: Vec<_> = now.offers_by_name(name).map(|offers| &offers.node.origin).collect();
        prop_assert_eq!(found, is.keys().collect::<Vec<_>>());
        if was == is {
            prop_assert!(is.keys().all(|origin| Arc::ptr_eq(&before.offers[origin], &now.offers[origin])), "{}", name);
        }
    }
    let nodes = |contents: &Contents| -> Vec<_> { contents.iter().map(|(k, v)| (k.clone(), v.itself.clone())).collect() };
    law(&"nodes", (&nodes(old), before.tables.nodes), (&nodes(new), now.tables.nodes), now.revision)?;
    fn listed(contents: &Contents) -> Vec<(&Origin, BTreeMap<&Id, Listed>)> {
        let all = contents.iter().map(|(origin, content)| (origin, content.listed()));
        all.filter(|(_, listed)| !listed.is_empty()).collect()
    }
    law(&"services", (&listed(old), before.tables.services), (&listed(new), now.tables.services), now.revision)?;
    let checks: [Vec<_>; 2] = [old, new].map(|contents| contents.iter().map(|(k, v)| (k.clone(), v.checks())).collect());
    law(&"checks", (&checks[0], before.tables.checks), (&checks[1], now.tables.checks), now.revision)
}

/// Lists show labels and registered instances in the form of labels, and render what they show.
fn labels(now: &Snapshot) -> Result<(), TestCaseError> {
    for host in now.hosts.values() {
        let of = |node: &lobby_core::catalog::Node| {
            let derived = node.record.instances().flat_map(|instance| service::labels(&instance));
            node.record.labels().cloned().chain(derived).collect::<Vec<_>>()
        };
        let mut labels: Vec<_> = host.nodes.iter().flat_map(|node| of(node)).collect();
        labels.sort();
        labels.dedup();
        prop_assert_eq!(&host.labels, &labels);
        let packets: Vec<rest::Packet> = serde_json::from_slice(&rest::list([&**host], Now::default())).unwrap();
        let rendered: Vec<_> = labels.iter().map(ToString::to_string).collect();
        prop_assert_eq!((&*packets[0].hostname, &packets[0].labels), (host.name.as_str(), &rendered));
    }
    Ok(())
}

proptest! {
    #[test]
    fn indexes_rise_with_what_is_seen_and_only_then(steps in vec((0..2_usize, step()), 1..60)) {
        let mut run = Run::start();
        let mut old = contents(&run.last);
        for (n, step) in steps.iter().chain([&(0, Step::Look)]) {
            run.take(*n, step);
            if matches!(step, Step::Look) && let Some(snapshot) = run.catalog.poll_snapshot() {
                let new = contents(&snapshot);
                prop_assert!(run.last.revision <= snapshot.revision);
                prop_assert!(snapshot.offers.keys().eq(new.keys()));
                for (origin, offers) in &snapshot.offers {
                    let before = run.last.offers.get(origin).map(|before| &**before);
                    node(before, offers, &new[origin], snapshot.revision)?;
                }
                scopes((&run.last, &old), (&snapshot, &new))?;
                labels(&snapshot)?;
                (old, run.last) = (new, snapshot);
            }
        }
    }
}

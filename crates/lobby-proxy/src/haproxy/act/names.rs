//! Addresses of names of machines, as HAProxy does not look them up at run time. Decides how long a turn may wait for them all:
//! side by side, and never longer than [`LOOK_UP`]; one that fails is left alone for growing times.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant as Clock, timeout_at},
};

use crate::haproxy::plan::{Action, Memory, Plan};

/// For all names of a plan together.
const LOOK_UP: Duration = Duration::from_secs(2);

/// At one time. Each holds a thread, longer than we wait for it.
const AT_ONCE: usize = 16;

/// The addresses that were found.
pub(super) type Names = BTreeMap<String, IpAddr>;

/// The address of a host of the plan; None: it has none for now.
pub(super) fn of(names: &Names, host: &str) -> Option<IpAddr> {
    host.parse().ok().or_else(|| names.get(host).copied())
}

/// As programs of this machine do.
pub(super) async fn system(host: String) -> Option<IpAddr> {
    tokio::net::lookup_host((host, 0)).await.ok()?.next().map(|found| found.ip())
}

/// Looks up what the plan needs and what is due.
pub(super) async fn look_up<F>(plan: &Plan, memory: &mut Memory, now: Instant, resolve: impl Fn(String) -> F) -> Names
where
    F: Future<Output = Option<IpAddr>> + Send + 'static,
{
    let hosts: BTreeSet<_> = plan.actions.iter().filter_map(host).filter(|host| host.parse::<IpAddr>().is_err()).collect();
    let due = memory.to_look_up(&hosts, now);
    let (end, permits) = (Clock::now() + LOOK_UP, Arc::new(Semaphore::new(AT_ONCE)));
    // Whether they were tried; those that are found are taken out.
    let tried = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let mut asked = JoinSet::new();
    for host in &due {
        tried.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(host.clone(), false);
        let (permits, tried, host, answer) = (permits.clone(), tried.clone(), host.clone(), resolve(host.clone()));
        asked.spawn(async move {
            let _permit = permits.acquire_owned().await.ok()?;
            tried.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(host.clone(), true);
            Some((host, answer.await?))
        });
    }
    let mut names = Names::new();
    while let Ok(Some(answer)) = timeout_at(end, asked.join_next()).await {
        names.extend(answer.ok().flatten());
    }
    asked.abort_all();
    let mut in_vain = tried.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    in_vain.retain(|host, _| !names.contains_key(host));
    if memory.looked_up(&hosts, &in_vain, now) {
        let (n, example) = (in_vain.len(), in_vain.keys().next());
        tracing::warn!(n, example, "hosts of servers have no address now: these servers are left as they are, and tried again");
    }
    names
}

fn host(action: &Action) -> Option<&str> {
    match action {
        Action::Add { server, .. } | Action::Slot { server, .. } => Some(&server.host),
        Action::Address { host, .. } => Some(host),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::haproxy::version::Version;

    fn plan(hosts: impl Iterator<Item = String>) -> Plan {
        let actions = hosts.map(|host| Action::Address { key: ("b".into(), host.clone()), host, port: 80 });
        let actions = actions.collect();
        Plan { actions, reload: Vec::new(), waiting: Vec::new(), version: Version::new(2, 6), pid: 7 }
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_do_not_answer_hold_up_one_turn_for_a_moment() {
        let n_asked = Arc::new(AtomicUsize::new(0));
        let resolve = |host: String| {
            let n_asked = n_asked.clone();
            async move {
                n_asked.fetch_add(1, Ordering::Relaxed);
                if host.starts_with("hole") {
                    std::future::pending::<()>().await;
                }
                (host != "none").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
        };
        let mut memory = Memory::default();
        let mut now = Clock::now().into_std();
        let holes = || (0..300).map(|n| format!("hole{n}"));
        let began = Clock::now();
        assert!(look_up(&plan(holes()), &mut memory, now, resolve).await.is_empty());
        assert_eq!((began.elapsed(), n_asked.load(Ordering::Relaxed)), (LOOK_UP, AT_ONCE));
        let more = plan(holes().chain(["good".into(), "none".into(), "10.0.0.1".into()]));
        let names = look_up(&more, &mut memory, now, resolve).await;
        assert_eq!(began.elapsed(), LOOK_UP, "the others rest");
        assert_eq!(names.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(n_asked.load(Ordering::Relaxed), AT_ONCE + 2);
        now += LOOK_UP;
        look_up(&more, &mut memory, now, resolve).await;
        assert_eq!(n_asked.load(Ordering::Relaxed), 2 * AT_ONCE + 3, "others come first, and the good one is asked each time");
        look_up(&plan(["hole0".into()].into_iter()), &mut memory, now, resolve).await;
        look_up(&plan(std::iter::empty()), &mut memory, now, resolve).await;
        assert_eq!(memory, Memory::default(), "nobody asks for them any more");
    }
}

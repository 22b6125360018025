//! The one task that owns what is known. Decides when the picture is published: when something in it is another.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    WARM_MAX,
    heard::Sets,
    plan::Tree,
    told::{State, Told},
};
use crate::{
    Picture, Settings,
    backends::{Keeper, MOST_BACKENDS},
    haproxy,
};

/// Whether answers may lack what is there.
pub(super) type Doubt = Box<dyn Fn() -> bool + Send + Sync>;

/// How often that is looked at while it matters: it ends without an answer.
const LOOK: Duration = Duration::from_millis(500);

/// An answer from before the end of doubts may be on its way, and the one after it is that of a catalog that waits for labels.
const SURE: Duration = Duration::from_secs(2);

/// One service.
#[derive(Debug)]
struct Of {
    name: String,
    tree: Tree,
    keeper: Keeper,
    /// The answer that the keeper has.
    sets: Option<Sets>,
    /// Of the last answer, so that it is logged once.
    n_dropped: usize,
}

/// All services, and all answers.
pub(super) struct Join {
    services: Vec<Of>,
    states: Vec<State>,
    /// When nobody who never answered is waited for any longer; None: that was.
    warm_at: Option<Instant>,
    doubt: Doubt,
    /// When answers are believed to be whole if no doubt comes up; None: they are.
    sure_at: Option<Instant>,
    picture: watch::Sender<Picture>,
}

impl Join {
    pub(super) fn new(
        settings: &Settings,
        trees: Vec<Tree>,
        n_questions: usize,
        doubt: Doubt,
        picture: watch::Sender<Picture>,
    ) -> Self {
        let of = |(service, tree): (&crate::settings::Service, Tree)| Of {
            name: service.name.clone(),
            tree,
            keeper: Keeper::new(service, settings.guard),
            sets: None,
            n_dropped: 0,
        };
        let mut services: Vec<Of> = settings.services.iter().zip(trees).map(of).collect();
        for (of, filed) in services.iter_mut().zip(haproxy::remembered(settings)) {
            of.keeper.remember(filed);
        }
        let states = (0..n_questions).map(|_| State::default()).collect();
        Self { services, states, warm_at: Some(Instant::now() + WARM_MAX), doubt, sure_at: None, picture }
    }

    /// Until nobody looks at the picture. `_told` keeps the channel open.
    pub(super) async fn run(mut self, mut news: mpsc::Receiver<(usize, Told)>, _told: mpsc::Sender<(usize, Told)>) {
        self.settle(|_| true);
        loop {
            self.publish();
            let look_at = self.sure_at.map(|at| at.min(Instant::now() + LOOK));
            let deadline = self.services.iter().filter_map(|of| of.keeper.deadline()).chain(self.warm_at).chain(look_at).min();
            let is_due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((at, told)) = news.recv() => {
                    self.hear(at, told);
                    while let Ok((at, told)) = news.try_recv() {
                        self.hear(at, told);
                    }
                }
                () = is_due => {
                    let now = Instant::now();
                    self.judge(now);
                    if self.warm_at.is_some_and(|at| at <= now) {
                        self.warm_at = None;
                        self.settle(|_| true);
                    }
                    let due = self.services.iter_mut().filter(|of| of.keeper.deadline().is_some_and(|at| at <= now));
                    due.for_each(|of| of.keeper.tick(now));
                }
                () = self.picture.closed() => return,
            }
        }
    }

    fn hear(&mut self, at: usize, told: Told) {
        // Before the answer is used, which is no newer than that.
        self.judge(Instant::now());
        let Some(state) = self.states.get_mut(at) else { return };
        state.hear(told);
        self.settle(|of| of.tree.asks(at));
    }

    /// Whether answers are whole, for those who have servers of an earlier run.
    fn judge(&mut self, now: Instant) {
        if !self.services.iter().any(|of| of.keeper.remembers()) {
            self.sure_at = None;
        } else if (self.doubt)() {
            self.sure_at = Some(now + SURE);
        } else if self.sure_at.is_some_and(|at| at <= now) {
            self.sure_at = None;
            self.services.iter_mut().for_each(|of| of.keeper.trust(now));
        }
    }

    fn settle(&mut self, which: impl Fn(&Of) -> bool) {
        let (now, is_early, is_sure) = (Instant::now(), self.warm_at.is_some(), self.sure_at.is_none());
        self.services.iter_mut().filter(|of| which(of)).for_each(|of| of.settle(&self.states, is_early, is_sure, now));
    }

    fn publish(&self) {
        let is_same = {
            let seen = self.picture.borrow();
            self.services.iter().map(|of| of.keeper.known()).eq(seen.iter())
        };
        if !is_same {
            self.picture.send_replace(self.services.iter().map(|of| of.keeper.known().clone()).collect());
        }
    }
}

impl Of {
    fn settle(&mut self, states: &[State], is_early: bool, is_sure: bool, now: Instant) {
        let heard = self.tree.heard(states, is_early);
        if heard.trouble != self.keeper.known().trouble {
            match &heard.trouble {
                Some(trouble) => tracing::warn!(service = self.name, "backends are kept as they are: {trouble}"),
                None => tracing::info!(service = self.name, "the source of backends answers again"),
            }
        }
        // In trouble an answer from before is none: nothing that is held is let go.
        let is_news = heard.trouble.is_none() || heard.sets != self.sets;
        self.keeper.trouble(heard.trouble);
        if let Some(sets) = heard.sets.as_ref().filter(|_| is_news) {
            if is_sure {
                self.keeper.trust(now);
            }
            self.keeper.forget(&sets.gone);
            self.keeper.answer(&sets.well, &sets.lost, now);
        }
        self.sets = heard.sets;
        let n_dropped = self.keeper.n_dropped();
        if n_dropped != std::mem::replace(&mut self.n_dropped, n_dropped) && n_dropped > 0 {
            tracing::warn!(service = self.name, "only {MOST_BACKENDS} backends are used, {n_dropped} are left out");
        }
    }
}

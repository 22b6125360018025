//! When a changed template is rendered. Decides how long changes are gathered: until none came for `min`, but at most `max`
//! after the first; each template has a timer of its own.
//!
//! The first rendering is not held back: timers start once every template has rendered, or would have.
//! Pure: moments are parameters. Not here: what a change is, and the rendering (the runner).

use lobby_core::time::Moment;

use crate::settings::Wait;

#[cfg(test)]
mod tests;

/// When a template that changed is to be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In this pass.
    Now,
    /// When [`Quiescence::take_due`] names it.
    Later,
}

/// The timers of a runner's templates.
#[derive(Debug)]
pub struct Quiescence {
    begun: bool,
    timers: Vec<Timer>,
}

#[derive(Debug)]
struct Timer {
    wait: Option<Wait>,
    running: Option<Running>,
}

/// A change that waits.
#[derive(Debug, Clone, Copy)]
struct Running {
    due: Moment,
    deadline: Moment,
}

impl Quiescence {
    /// A timer for each template, in their order; None: it never waits.
    pub fn new(waits: impl IntoIterator<Item = Option<Wait>>) -> Self {
        Self { begun: false, timers: waits.into_iter().map(|wait| Timer { wait, running: None }).collect() }
    }

    /// Every template has rendered, or would have: from now on changes are gathered.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Something that the template at this place depends on has changed.
    pub fn handle_change(&mut self, template: usize, now: Moment) -> When {
        let begun = self.begun;
        let Some(timer) = self.timers.get_mut(template) else { return When::Now };
        match timer.wait {
            Some(wait) if begun && !(wait.min.is_zero() && timer.running.is_none()) => {
                let deadline = timer.running.map_or(now + wait.max.max(wait.min), |running| running.deadline);
                timer.running = Some(Running { due: (now + wait.min).min(deadline), deadline });
                When::Later
            }
            _ => When::Now,
        }
    }

    /// The templates whose time has come, in their order. Each is named once; its next change starts a new timer.
    pub fn take_due(&mut self, now: Moment) -> Vec<usize> {
        let due = |timer: &mut Timer| timer.running.take_if(|running| running.due <= now).is_some();
        self.timers.iter_mut().enumerate().filter_map(|(idx, timer)| due(timer).then_some(idx)).collect()
    }

    /// Whether a change of this template waits: a pass that renders others leaves it alone.
    pub fn is_waiting(&self, template: usize) -> bool {
        self.timers.get(template).is_some_and(|timer| timer.running.is_some())
    }

    /// When [`Self::take_due`] has the next one.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.iter().filter_map(|timer| Some(timer.running?.due)).min()
    }
}

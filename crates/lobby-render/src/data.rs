//! What is known at one moment, and what a template asked of it. Decides nothing; the runner fills it, the functions of
//! templates read it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Answer, Query};

/// All answers that have arrived; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Data(Arc<HashMap<Query, Answer>>);

/// What one evaluation of one template asked: shared by its functions.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Questions>);

/// The questions of one evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// All of them.
    pub used: BTreeSet<Query>,
    /// Those without an answer: there is nothing to render yet.
    pub missing: BTreeSet<Query>,
}

impl Data {
    /// The answer, if it has arrived.
    pub fn get(&self, query: &Query) -> Option<&Answer> {
        self.0.get(query)
    }

    /// Puts an answer in place; whether it differs from the one before.
    pub fn put(&mut self, query: Query, answer: Answer) -> bool {
        if self.0.get(&query) == Some(&answer) {
            return false;
        }
        Arc::make_mut(&mut self.0).insert(query, answer);
        true
    }

    /// Forgets answers to questions that nobody asks any more.
    pub fn keep(&mut self, mut wanted: impl FnMut(&Query) -> bool) {
        if self.0.keys().any(|query| !wanted(query)) {
            Arc::make_mut(&mut self.0).retain(|query, _| wanted(query));
        }
    }
}

impl Asked {
    /// The answer, if there is one; remembers the question.
    pub fn look_up(&self, data: &Data, query: &Query) -> Option<Answer> {
        let answer = data.get(query).cloned();
        let mut questions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.is_none() {
            questions.missing.insert(query.clone());
        }
        questions.used.insert(query.clone());
        answer
    }

    /// There is an answer, but not the one that the template needs: it is not rendered.
    pub fn wait_for(&self, query: &Query) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).missing.insert(query.clone());
    }

    /// Everything that was asked.
    pub fn questions(&self) -> Questions {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! Which answer comes next on which path.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Answer, Received};

pub(super) type Decision = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

/// The answers of a receiver: per path, else by default, else 200.
#[derive(Debug, Default)]
pub(super) struct Script {
    plans: Mutex<Plans>,
}

#[derive(Debug, Default)]
struct Plans {
    default: Option<Plan>,
    by_path: HashMap<String, Plan>,
}

enum Plan {
    Sequence(VecDeque<Answer>),
    Decision(Decision),
}

impl Script {
    pub(super) fn set_default(&self, answers: Vec<Answer>) {
        self.with_plans(|plans| plans.default = Some(Plan::Sequence(answers.into())));
    }

    pub(super) fn set(&self, path: &str, answers: Vec<Answer>) {
        self.set_plan(path, Plan::Sequence(answers.into()));
    }

    pub(super) fn set_decision(&self, path: &str, decision: Decision) {
        self.set_plan(path, Plan::Decision(decision));
    }

    pub(super) fn set_default_decision(&self, decision: Decision) {
        self.with_plans(|plans| plans.default = Some(Plan::Decision(decision)));
    }

    /// The answer to `request`; its query plays no part.
    pub(super) fn next(&self, request: &Received) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        let decision = self.with_plans(|plans| {
            let plan = plans.by_path.get_mut(path).or(plans.default.as_mut());
            match plan {
                None => Ok(Answer::status(200)),
                Some(Plan::Sequence(answers)) => Ok(next_of(answers)),
                Some(Plan::Decision(decide)) => Err(Arc::clone(decide)),
            }
        });
        // A decision is the test's own code: it may take its time, and script the receiver itself.
        decision.unwrap_or_else(|decide| decide(request))
    }

    fn set_plan(&self, path: &str, plan: Plan) {
        self.with_plans(|plans| plans.by_path.insert(path.to_owned(), plan));
    }

    fn with_plans<T>(&self, work: impl FnOnce(&mut Plans) -> T) -> T {
        work(&mut self.plans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the first answer, and leaves it where it is the last one.
fn next_of(answers: &mut VecDeque<Answer>) -> Answer {
    let next = if answers.len() > 1 {
        answers.pop_front()
    } else {
        answers.front().cloned()
    };
    next.unwrap_or_else(|| Answer::status(200))
}

impl fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence(answers) => formatter.debug_tuple("Sequence").field(answers).finish(),
            Self::Decision(_) => formatter.write_str("Decision"),
        }
    }
}

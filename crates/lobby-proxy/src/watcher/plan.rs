//! Which questions the services of the settings ask, each once, and how a service's answer is made of theirs. Pure.

use std::collections::BTreeMap;

use lobby_render::{
    Query,
    query::{ServiceQuery, Wanted},
};

use super::{
    catalog,
    heard::{self, Heard},
    told::State,
};
use crate::settings::{ConsulWatch, Discovery, DnsWatch, DockerWatch, Ec2Watch, LobbyWatch, Resolver, Service};

/// One thing to ask somebody, again and again.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// Our own agent.
    Lobby(Query),
    /// A Consul by its address and token.
    Consul { address: String, token: Option<String>, query: Query },
    /// Names.
    Dns(DnsWatch),
    /// Instances with a tag.
    Ec2(Ec2Watch),
    /// Containers.
    Docker(DockerWatch),
}

/// How the answer of one service comes about; numbers are places in the list of questions.
#[derive(Debug)]
pub(super) enum Tree {
    /// Nothing is ever found.
    Base,
    /// The answer as it is.
    Asked(usize),
    /// Instances, and labels of their nodes.
    Catalog { instances: usize, labels: Option<usize>, watch: LobbyWatch },
    /// It cannot be asked; why, for people.
    Impossible(&'static str),
    /// Several.
    Multi { children: BTreeMap<String, Tree>, resolver: Resolver },
}

impl Tree {
    /// Adds what it asks to the questions, unless it is there.
    pub(super) fn new(service: &Service, questions: &mut Vec<Question>) -> Self {
        Self::of(&service.discovery, service, questions)
    }

    fn of(discovery: &Discovery, service: &Service, questions: &mut Vec<Question>) -> Self {
        let mut ask = |question: Question| match questions.iter().position(|known| *known == question) {
            Some(at) => at,
            None => {
                questions.push(question);
                questions.len() - 1
            }
        };
        match discovery {
            Discovery::Base => Self::Base,
            Discovery::Lobby(watch) | Discovery::Consul(ConsulWatch { query: watch, .. })
                if !watch.selector.is_empty() && watch.datacenter.is_some() =>
            {
                Self::Impossible("a selector and a data centre cannot be asked together: only our own is known by selectors")
            }
            Discovery::Lobby(watch) => Self::Catalog {
                instances: ask(Question::Lobby(query(watch))),
                labels: labels(service).map(|query| ask(Question::Lobby(query))),
                watch: watch.clone(),
            },
            Discovery::Consul(ConsulWatch { address, token, query: watch }) => {
                let (address, token) = (address.trim_end_matches('/').to_owned(), token.clone());
                let instances = ask(Question::Consul { address, token, query: query(watch) });
                Self::Catalog { instances, labels: None, watch: watch.clone() }
            }
            Discovery::Dns(watch) => Self::Asked(ask(Question::Dns(watch.clone()))),
            Discovery::Ec2Tag(watch) => Self::Asked(ask(Question::Ec2(watch.clone()))),
            Discovery::Docker(watch) => Self::Asked(ask(Question::Docker(watch.clone()))),
            Discovery::Multi(watch) => {
                let children = watch.watchers.iter();
                let children = children.map(|(name, child)| (name.clone(), Self::of(child, service, questions))).collect();
                Self::Multi { children, resolver: watch.resolver.clone() }
            }
        }
    }

    /// Whether an answer to this question matters to it.
    pub(super) fn asks(&self, question: usize) -> bool {
        match self {
            Self::Base | Self::Impossible(_) => false,
            Self::Asked(at) => *at == question,
            Self::Catalog { instances, labels, .. } => *instances == question || *labels == Some(question),
            Self::Multi { children, .. } => children.values().any(|child| child.asks(question)),
        }
    }

    /// What is known, of what all questions were answered until now. `is_early`: a `multi` waits for who never answered.
    pub(super) fn heard(&self, states: &[State], is_early: bool) -> Heard {
        match self {
            Self::Base => Heard { sets: Some(heard::Sets::default()), ..Heard::default() },
            Self::Impossible(why) => Heard { trouble: Some((*why).into()), ..Heard::default() },
            Self::Asked(at) => states[*at].heard.clone(),
            Self::Catalog { instances, labels, watch } => {
                catalog::heard(&states[*instances], labels.map(|labels| &states[labels]), watch)
            }
            Self::Multi { children, resolver } => {
                let children = children.iter().map(|(name, child)| (name.clone(), child.heard(states, is_early))).collect();
                heard::resolve(children, resolver, is_early)
            }
        }
    }
}

/// All instances, whatever their state: who is lost is to be told from who is critical. Who a selector takes is in no order
/// by distance, which only Consul's route has.
fn query(watch: &LobbyWatch) -> Query {
    if watch.selector.is_empty() {
        return Query::Service(ServiceQuery {
            name: watch.service.clone(),
            tag: watch.tag.clone(),
            datacenter: watch.datacenter.clone(),
            near: watch.near.clone(),
            statuses: vec![Wanted::Any],
        });
    }
    Query::Instances { service: Some(watch.service.clone()), selector: watch.selector.clone() }
}

/// Labels of nodes are no part of instances: they are asked only for services that look at them, by one question for all.
fn labels(service: &Service) -> Option<Query> {
    match (service.label_filters.is_empty(), service.backup_port) {
        (false, _) => Some(Query::Selected { selector: String::new() }),
        (true, Some(_)) => Some(Query::Selected { selector: "label^=deploy:".into() }),
        (true, None) => None,
    }
}

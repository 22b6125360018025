//! Consul's routes of the local agent: what programs register here, how it is, and who the agent is.
//!
//! ```text
//! agent/registration    service/register, service/deregister/:id, check/register, check/deregister/:id
//! agent/report          check/pass|warn|fail|update/:id
//! agent/maintenance     service/maintenance/:id, maintenance (for operators)
//! agent/services        services, service/:id          agent/checks    checks
//! agent/health          health/service/id/:id, health/service/name/:name
//! agent/own             self, version, host, metrics
//! agent/monitor         monitor (for operators)
//! ```
//! Writes answer 200 with an empty body, when the change is on disk and in the next answer. Here what these routes share:
//! the instances of the own node. Not here: membership (`members`, `operator`), the catalog, bodies (`wire::definition`).

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use axum::Router;
use lobby_core::{
    check::{aggregate::Shown, kind::Kind},
    expr::{Fields, Filter},
    instance::{Id, Instance},
    port::registry::{LocalCheck, LocalView, NewCheck, Registration},
    record::Record,
    service,
};

pub(crate) use registration::read;
pub(crate) use report::{body as report_body, report};

use crate::{App, View, catalog_api::node, error::ApiError, query::Query, shape, writer::Writer};

mod checks;
mod health;
mod maintenance;
mod monitor;
mod own;
mod registration;
mod report;
mod services;

pub(crate) fn routes() -> Router<App> {
    let writes = registration::routes().merge(report::routes()).merge(maintenance::routes());
    writes.merge(services::routes()).merge(checks::routes()).merge(health::routes()).merge(own::routes())
}

/// Those for operators.
pub(crate) fn verbs() -> Router<App> {
    maintenance::verbs().merge(monitor::routes())
}

/// All of the own node: what is registered, and the instances that labels make.
pub(crate) struct Own {
    local: Arc<LocalView>,
    record: Arc<Record>,
    /// Made when somebody looks there: a node may have thousands of labels.
    made: OnceLock<Vec<Instance>>,
}

impl Own {
    pub(crate) fn new(app: &App, view: &View) -> Self {
        let (local, record) = (app.state.handles.registry.view(), view.snapshot.local.record.clone());
        Self { local, record, made: OnceLock::new() }
    }

    /// What labels make. Of one id the registered instance counts, as in the catalog.
    fn made(&self) -> &[Instance] {
        self.made.get_or_init(|| {
            let mut made = service::instances(self.record.labels());
            made.retain(|instance| !self.local.instances.contains_key(&instance.id));
            made
        })
    }

    /// By id.
    fn instances(&self) -> BTreeMap<&Id, &Instance> {
        let registered = self.local.instances.values().map(|local| &*local.instance);
        registered.chain(self.made()).map(|instance| (&instance.id, instance)).collect()
    }

    /// The one of this id.
    pub(crate) fn instance(&self, id: &Id) -> Option<&Instance> {
        let registered = self.local.instances.get(id).map(|local| &*local.instance);
        registered.or_else(|| self.made().iter().find(|instance| instance.id == *id))
    }

    /// What is registered.
    pub(crate) fn local(&self) -> &LocalView {
        &self.local
    }

    /// Refuses who may not write the instance of this id as it is now. One that is not there is nobody's.
    pub(crate) fn may_write(&self, writer: &Writer, id: &Id) -> Result<(), ApiError> {
        self.instance(id).map_or(Ok(()), |instance| writer.may_write(instance.service.as_str()))
    }

    /// Refuses who may not take this instance away, and the proxy that goes with it.
    pub(crate) fn may_take(&self, writer: &Writer, id: &Id) -> Result<(), ApiError> {
        let sidecar = self.local.sidecar(id).map(|sidecar| &sidecar.instance.id);
        [id].into_iter().chain(sidecar).try_for_each(|id| self.may_write(writer, id))
    }

    /// Refuses who may not put this instance where one of its id is now, and what only a connection can keep.
    pub(crate) fn may_replace(&self, writer: &Writer, new: &Registration) -> Result<(), ApiError> {
        new.checks.iter().try_for_each(refuse_hold)?;
        self.may_hold(writer, new)
    }

    /// Refuses who may not put this instance where one of its id is now.
    pub(crate) fn may_hold(&self, writer: &Writer, new: &Registration) -> Result<(), ApiError> {
        writer.may_write(new.instance.service.as_str())?;
        self.may_write(writer, &new.instance.id)?;
        // Its checks may take the place of others.
        new.checks.iter().try_for_each(|check| self.may_write_check(writer, &check.id))
    }

    /// Refuses who may not write the check of this id as it is now.
    pub(crate) fn may_write_check(&self, writer: &Writer, id: &Id) -> Result<(), ApiError> {
        self.local.checks.get(id).map_or(Ok(()), |check| self.may_judge(writer, check.instance.as_ref()))
    }

    /// Refuses who may not write checks of this instance, or of the node.
    fn may_judge(&self, writer: &Writer, instance: Option<&Id>) -> Result<(), ApiError> {
        instance.map_or_else(|| writer.may_write_node(), |id| self.may_write(writer, id))
    }

    /// An instance in Consul's shape.
    fn service<'a>(&self, instance: &'a Instance, datacenter: &'a str) -> shape::AgentService<'a> {
        let service = shape::AgentService::new(instance, datacenter);
        // What takes nothing new weighs nothing, also when all of the node does.
        let weights = if self.local.is_draining { shape::Weights::NONE } else { service.weights };
        shape::AgentService { weights, ..service }
    }

    /// A check in Consul's shape, with the whole output.
    fn check<'a>(&'a self, node: &'a str, check: &'a LocalCheck) -> shape::Check<'a> {
        let instance = check.instance.as_ref().and_then(|id| self.instance(id));
        shape::Check {
            notes: &check.notes,
            output: &check.output,
            service_id: check.instance.as_ref().map_or("", |id| id.as_str()),
            service_name: instance.map_or("", |instance| instance.service.as_str()),
            service_tags: instance.map_or(&[], |instance| &instance.tags),
            r#type: check.spec.kind().as_str(),
            interval: check.spec.interval().map(shape::duration).unwrap_or_default(),
            timeout: check.spec.interval().map(|_| shape::duration(check.spec.timeout())).unwrap_or_default(),
            ..shape::Check::of_node(node, check.id.as_str(), &check.name, check.status)
        }
    }
}

/// Refuses a check that is fine for as long as a connection is open.
fn refuse_hold(check: &NewCheck) -> Result<(), ApiError> {
    match check.spec.kind() {
        Kind::Hold => Err(ApiError::HoldOnly(check.id.to_string())),
        _ => Ok(()),
    }
}

/// What a check says for its instance.
fn shown(check: &LocalCheck) -> Shown {
    match check.spec.kind() {
        Kind::Maintenance => Shown::Maintenance,
        _ => Shown::Status(check.status),
    }
}

/// The data centre of the agent.
fn datacenter(view: &View) -> &str {
    node::datacenter(&view.snapshot)
}

/// The filter of a request over a kind of thing.
fn filter<T: Fields>(query: &Query<'_>) -> Result<Option<Filter>, ApiError> {
    let text = query.get("filter").filter(|text| !text.trim().is_empty());
    Ok(text.map(Filter::parse::<T>).transpose()?)
}

fn takes<T: Fields>(filter: &Option<Filter>, thing: &T) -> bool {
    filter.as_ref().is_none_or(|filter| filter.takes(thing))
}

/// The answer to a write that has nothing to say.
pub(crate) fn done() -> axum::response::Response {
    axum::response::Response::default()
}

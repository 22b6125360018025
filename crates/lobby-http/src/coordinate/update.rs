//! Somebody else says where a node is, as programs do that look after nodes without an agent.
//!
//! ```text
//! PUT /v1/coordinate/update    {"Node", "Segment", "Coord"}    200 empty; 404 of a node that is not known
//! ```
//! Of a node without an agent it is kept like all else that is registered of it, by every agent. A member knows better: what is
//! said of one holds here for [`HOLDS`], about as long as with Consul, whose agents tell their own again and again; then that
//! of gossip counts once more. Not here: what a body means (`wire::definition`), where coordinates are read.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::{
    coordinate::Coordinate,
    external::Change,
    id::NodeId,
    port::{external::Write, gossip::GossipError},
    time::Moment,
    wire::definition::{self, CoordinateUpdate},
};

use super::{named_one, of_external};
use crate::{
    App, View, agent,
    error::{ApiError, shown},
    external,
    path::write,
    receive, scope, who,
    writer::Writer,
};

/// How long that counts which is said of a member. Consul's agents send their own at least each 15 s.
const HOLDS: Duration = Duration::from_secs(15);

/// Of so many members at most something is said at a time; beyond, what was said first no longer counts.
const MEMBERS: usize = 1024;

/// What moves a node without an agent by less than this, in seconds, is not written: every agent keeps each version on disk,
/// and programs that measure say something new every few seconds.
const STEP: f32 = 0.001;

/// What was said of members.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<NodeId, (Coordinate, Moment)>>);

impl Told {
    /// What counts at this time.
    pub(super) fn all(&self, now: Moment) -> Vec<(NodeId, Coordinate)> {
        let mut told = self.lock();
        told.retain(|_, (_, at)| now.since(*at) < HOLDS);
        told.iter().map(|(id, (place, _))| (*id, *place)).collect()
    }

    fn put(&self, id: NodeId, place: Coordinate, now: Moment) {
        let mut told = self.lock();
        let first = told.iter().min_by_key(|(_, (_, at))| *at).map(|(id, _)| *id);
        if let Some(first) = first.filter(|_| told.len() >= MEMBERS && !told.contains_key(&id)) {
            told.remove(&first);
        }
        told.insert(id, (place, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, (Coordinate, Moment)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/coordinate/update", write(update))
}

async fn update(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    scope::query(&uri, &headers, &view)?;
    who::gossips(&app)?;
    let bytes = receive::body(&app, request.into_body(), app.config().limits.body_bytes).await?;
    let CoordinateUpdate { node, coordinate } = definition::coordinate_update(&definition::parse(&bytes)?)?;
    writer.may_write_node()?;
    let id = named_one(&view.snapshot, &node)?;
    let Some(record) = view.snapshot.externals.get(&id).filter(|record| !record.has_left()) else {
        // A whole id need not be known.
        who::node(&view.snapshot, id).ok_or_else(|| GossipError::UnknownNode(format!("{:?}", shown(&node))))?;
        app.state.told.put(id, coordinate, view.now.moment);
        return Ok(agent::done());
    };
    if of_external(&view.snapshot, id).is_none_or(|old| is_elsewhere(&old, &coordinate)) {
        let changes = vec![Change::Coordinate(coordinate)];
        external::carry_out(&app, vec![Write { name: record.name.clone(), changes, seen: None }]).await?;
    }
    Ok(agent::done())
}

fn is_elsewhere(old: &Coordinate, new: &Coordinate) -> bool {
    let of = |place: &Coordinate| [place.height, place.adjustment].into_iter().chain(place.vec).collect::<Vec<_>>();
    of(old).iter().zip(of(new)).any(|(old, new)| (old - new).abs() >= STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_members_is_bounded_in_number_and_time() {
        let told = Told::default();
        let place = Coordinate { vec: [0.0; 8], height: 0.0, adjustment: 0.0, error: 1.0 };
        let id = |n: usize| NodeId::from_bytes(u128::try_from(n).unwrap().to_be_bytes());
        let at = |n: usize| Moment::from_micros(u64::try_from(n).unwrap());
        for n in 0..MEMBERS {
            told.put(id(n), place, at(n));
        }
        assert_eq!(told.all(at(MEMBERS)).len(), MEMBERS);
        told.put(id(1), place, at(MEMBERS));
        assert_eq!(told.all(at(MEMBERS)).len(), MEMBERS, "it has its place");
        told.put(id(MEMBERS), place, at(MEMBERS));
        let known: HashMap<_, _> = told.all(at(MEMBERS)).into_iter().collect();
        assert!(known.len() == MEMBERS && !known.contains_key(&id(0)) && known.contains_key(&id(1)));
        let end = at(MEMBERS) + HOLDS;
        assert_eq!(told.all(end - Duration::from_micros(1)).len(), 2);
        assert!(told.all(end).is_empty());
    }
}

//! `ID.NAME.instance`: one instance of a service by its id. Several nodes may have one of that id.
//!
//! Its TXT tells its tags and its meta pairs.
//! Not here: which instances are told of (`service`).

use hickory_proto::rr::RData;
use lobby_core::catalog::InstanceView;

use super::{Answer, Basis, Record, Zone, ends_with_label, place, service, txt};
use crate::{
    message::{Rcode, kind},
    name::Name,
};

pub(super) fn answer(zone: &Zone<'_>, domain: &Name, dc: Option<&str>, (id, name): (Option<&str>, &str), kind: u16) -> Answer {
    let basis = Basis::Service(name.into());
    let Some(view) = zone.snapshot.service(name) else { return zone.nothing(domain, true, basis) };
    let Some(id) = id else { return zone.nothing(domain, false, basis) };
    let is_it = |view: &&InstanceView| {
        view.instance.id.as_str().eq_ignore_ascii_case(id)
            && service::is_well(zone, view)
            && place::is_in(zone.snapshot, &view.node, dc)
    };
    let views: Vec<_> = service::instances(view).filter(is_it).collect();
    if views.is_empty() {
        let below = service::instances(view).any(|view| ends_with_label(view.instance.id.as_str(), id));
        return zone.nothing(domain, !below, basis);
    }
    if kind != kind::TXT {
        return service::answer_with(zone, domain, views, kind, basis);
    }
    let mut answer = Answer::empty(Rcode::NoError, true, basis.clone());
    let ttl = zone.settings.service_ttl(name);
    let texts = views.iter().flat_map(|view| txt::of_instance(&view.instance));
    answer.answers = txt::distinct(texts).map(|text| Record { owner: None, ttl, data: RData::TXT(text) }).collect();
    if answer.answers.is_empty() { zone.nothing(domain, false, basis) } else { answer }
}

//! Every selector of every object has a value of its kind, and a few expressions mean what they say.

use std::sync::Arc;

use lobby_core::{
    check::Status,
    expr::{Filter, FilterError},
    instance::{Instance, TaggedAddress},
};
use proptest::prelude::*;

use super::*;
use crate::shape::{AgentService, CatalogService, Pairs, Service};

fn instance() -> Instance {
    let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    (instance.port, instance.address, instance.kind) = (80, "10.0.0.9".into(), "connect-proxy".into());
    (instance.tags, instance.enable_tag_override) = (["blue".into()].into(), true);
    instance.meta = Arc::new([("k".into(), "v".into())].into());
    instance.tagged_addresses = [("k".into(), TaggedAddress { address: "10.0.0.9".into(), port: 81 })].into();
    instance.connect = "{\"Native\":true}".into();
    instance
}

fn node() -> Node<'static> {
    let pairs = || Pairs(vec![("k", "v".into()), ("consul-version", "1".into())]);
    Node {
        id: "6c1e".into(),
        node: "edge-7",
        address: "10.9.0.7".into(),
        datacenter: "dc1",
        tagged_addresses: pairs(),
        meta: pairs(),
        create_index: 12,
        modify_index: 15,
    }
}

fn check(status: Status) -> Check<'static> {
    Check { service_id: "web-1", service_name: "web", ..Check::of_node("edge-7", "c", "C", status) }
}

/// The object has something of the right kind at each of its selectors, and other text there is none.
fn walk<T: Fields>(thing: &T) {
    let mut seen = 0;
    for group in T::SCHEMA {
        for (name, kind) in group.names {
            seen += 1;
            let key = name.contains('*').then_some("k");
            let selected = Selected { prefix: group.prefix, name, key };
            let right = |field: &Field<'_>| {
                matches!(
                    (kind, field),
                    (Kind::Text | Kind::Entry, Field::Text(_))
                        | (Kind::Number, Field::Number(_))
                        | (Kind::Bool, Field::Bool(_))
                        | (Kind::List | Kind::Objects, Field::List(_))
                )
            };
            match thing.field(selected) {
                Field::Each(each) => assert!(!each.is_empty() && each.iter().all(right), "{name}: {each:?}"),
                field => assert!(right(&field), "{name}: {field:?}"),
            }
            if key.is_some() {
                let other = thing.field(Selected { key: Some("other"), ..selected });
                assert_eq!(other, Field::Missing, "{name}");
            }
        }
    }
    assert!(seen > 0);
    assert_eq!(thing.field(Selected { prefix: "", name: "Nothing", key: None }), Field::Missing);
}

#[test]
fn every_selector_has_a_value_of_its_kind() {
    let (node, instance) = (node(), instance());
    let service = Service::new(&instance, 1, 1);
    walk(&node);
    walk(&service);
    walk(&AgentService::new(&instance, "dc1"));
    walk(&check(Status::Passing));
    walk(&CatalogService::new(&node, service.clone()));
    walk(&HealthEntry { node: &node, service, checks: vec![check(Status::Passing), check(Status::Critical)] });
}

#[test]
fn expressions_over_each_object() {
    let (node, instance) = (node(), instance());
    let service = Service::new(&instance, 1, 1);
    let joined = CatalogService::new(&node, service.clone());
    let entry =
        HealthEntry { node: &node, service: service.clone(), checks: vec![check(Status::Passing), check(Status::Critical)] };
    let take = |text: &str, takes: bool, want: bool| assert_eq!(takes, want, "{text}");
    for (text, want) in [
        ("Node.Node == `edge-7` and Service.Port == 80", true),
        ("Service.Port == 81", false),
        ("Checks.Status == critical", true),
        ("Checks.Status == warning", false),
        ("Checks is empty", false),
        ("blue in Service.Tags and Service.Meta.k == v", true),
        ("Service.Connect.Native == true", true),
        ("Node.Meta.rack is empty", true),
        ("Service.TaggedAddresses.k.Port == 81", true),
    ] {
        take(text, Filter::parse::<HealthEntry<'_>>(text).unwrap().takes(&entry), want);
    }
    for (text, want) in [
        ("ServiceName matches `^we`", true),
        ("ServiceName == web and ServiceID == `web-1` and Node == `edge-7`", true),
        ("ServiceMeta.k != v", false),
        ("NodeMeta.k == v", true),
        ("ServiceWeights.Passing == 1 and ServicePort != 80", false),
    ] {
        take(text, Filter::parse::<CatalogService<'_>>(text).unwrap().takes(&joined), want);
    }
    assert!(Filter::parse::<Service<'_>>("ID == `web-1`").unwrap().takes(&service));
    assert!(Filter::parse::<Node<'_>>("Meta contains k").unwrap().takes(&node));
}

#[test]
fn selectors_of_another_object_are_refused() {
    assert!(matches!(Filter::parse::<Node<'_>>("ServiceName == x"), Err(FilterError::Selector { .. })));
    assert!(matches!(Filter::parse::<CatalogService<'_>>("Service.ID == x"), Err(FilterError::Selector { .. })));
    assert!(matches!(Filter::parse::<Check<'_>>("CreateIndex == 1"), Err(FilterError::Selector { .. })));
    assert!(matches!(Filter::parse::<HealthEntry<'_>>("Checks == x"), Err(FilterError::Operator { .. })));
}

proptest! {
    #[test]
    fn what_a_filter_takes_is_what_one_would_pick_by_hand(
        port in 0_u16..4,
        tags in proptest::collection::vec("[ab]", 0..3),
        value in proptest::option::of("[xy]"),
        asked in 0_u16..4,
        tag in "[ab]",
        wanted in "[xy]",
    ) {
        let mut instance = instance();
        (instance.port, instance.tags) = (port, tags.clone().into());
        instance.meta = Arc::new(value.iter().map(|value| ("k".to_owned(), value.clone())).collect());
        let node = node();
        let entry = HealthEntry { node: &node, service: Service::new(&instance, 1, 1), checks: Vec::new() };
        for (text, want) in [
            (format!("Service.Port == {asked}"), port == asked),
            (format!("{tag} not in Service.Tags"), !tags.contains(&tag)),
            (format!("Service.Meta.k == {wanted}"), value.as_ref() == Some(&wanted)),
            (format!("Service.Meta.k != {wanted}"), value.as_ref() != Some(&wanted)),
            ("Service.Meta is empty".to_owned(), value.is_none()),
            (
                format!("Service.Port != {asked} and ({tag} in Service.Tags or Service.Meta.k matches `^{wanted}$`)"),
                port != asked && (tags.contains(&tag) || value.as_ref() == Some(&wanted)),
            ),
        ] {
            prop_assert_eq!(Filter::parse::<HealthEntry<'_>>(&text).unwrap().takes(&entry), want, "{}", text);
        }
    }
}

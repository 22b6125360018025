//! The body of `coordinate/update`: somebody tells where a node is in the space of round trip times.
//!
//! Not here: whose word counts (outputs), what a coordinate means (`coordinate`).

use serde_json::Value;

use super::{
    DefinitionError,
    fields::{Fields, refused},
};
use crate::coordinate::{Coordinate, DIMENSIONS};

/// Where a node is.
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinateUpdate {
    /// Its name, as it was given.
    pub node: String,
    /// The coordinate; valid.
    pub coordinate: Coordinate,
}

/// What is accepted.
const ACCEPTED: &str = "seconds between -3600 and 3600, Height and Error not below 0";

/// Reads the body of `coordinate/update`.
pub fn coordinate_update(value: &Value) -> Result<CoordinateUpdate, DefinitionError> {
    let fields = Fields::body(value)?;
    let node = fields.given("Node")?;
    let node = node.ok_or_else(|| DefinitionError::Missing { what: "node name", field: fields.path("Node") })?;
    if let Some(segment) = fields.value("Segment").filter(|segment| **segment != Value::String(String::new())) {
        return Err(refused(fields.path("Segment"), segment, "nothing: there are no segments"));
    }
    let missing = || DefinitionError::Missing { what: "coordinate", field: fields.path("Coord") };
    let coord = fields.object("Coord")?.ok_or_else(missing)?;
    let number = |field| coord.value(field).map_or(Ok(0.0), |value| seconds(value, || coord.path(field)));
    let list = coord.list("Vec")?;
    let mut vec = [0.0; DIMENSIONS];
    if list.len() != DIMENSIONS {
        let accepted = format!("{DIMENSIONS} numbers, not {}", list.len());
        return Err(refused(coord.path("Vec"), coord.value("Vec").unwrap_or(&Value::Null), accepted));
    }
    for (idx, (place, value)) in vec.iter_mut().zip(list).enumerate() {
        *place = seconds(value, || format!("{}[{idx}]", coord.path("Vec")))?;
    }
    let [error, adjustment, height] = [number("Error")?, number("Adjustment")?, number("Height")?];
    let coordinate = Coordinate { vec, height, adjustment, error };
    match coordinate.is_valid() {
        true => Ok(CoordinateUpdate { node, coordinate }),
        false => Err(refused(fields.path("Coord"), coord.value("Height").unwrap_or(&Value::Null), ACCEPTED)),
    }
}

/// A finite number of seconds that is not absurd.
fn seconds(value: &Value, field: impl Fn() -> String) -> Result<f32, DefinitionError> {
    let number = value.as_f64().filter(|number| number.is_finite() && number.abs() <= 3600.0);
    #[expect(clippy::cast_possible_truncation, reason = "a float of half the size holds it well enough")]
    let number = number.map(|number| number as f32);
    number.ok_or_else(|| refused(field(), value, ACCEPTED))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_coordinate_in_any_spelling() {
        let body =
            json!({"node": "a", "Segment": "", "coord": {"vec": [1, 0.5, 0, 0, 0, 0, 0, -2], "Height": 0.25, "error": 1.5}});
        let update = coordinate_update(&body).unwrap();
        let vec = [1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0];
        let want = Coordinate { vec, height: 0.25, adjustment: 0.0, error: 1.5 };
        assert_eq!(update, CoordinateUpdate { node: "a".into(), coordinate: want });
    }

    #[test]
    fn what_is_no_coordinate() {
        let good = json!([0, 0, 0, 0, 0, 0, 0, 0]);
        for (body, part) in [
            (json!({"Coord": {"Vec": good}}), "Missing node name"),
            (json!({"Node": "a"}), "Missing coordinate: Coord"),
            (json!({"Node": "a", "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0]}}), "8 numbers, not 7"),
            (json!({"Node": "a", "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0, 0, 0]}}), "8 numbers, not 9"),
            (json!({"Node": "a", "Coord": {}}), "8 numbers, not 0"),
            (json!({"Node": "a", "Coord": {"Vec": [0, 0, "x", 0, 0, 0, 0, 0]}}), "Coord.Vec[2]"),
            (json!({"Node": "a", "Coord": {"Vec": [0, 0, 0, 1e300, 0, 0, 0, 0]}}), "Coord.Vec[3]"),
            (json!({"Node": "a", "Coord": {"Vec": good, "Height": -1}}), "Height and Error not below 0"),
            (json!({"Node": "a", "Coord": {"Vec": good, "Error": null, "Adjustment": "1"}}), "Coord.Adjustment"),
            (json!({"Node": "a", "Segment": "alpha", "Coord": {"Vec": good}}), "Segment"),
            (json!([]), "JSON object"),
        ] {
            let text = coordinate_update(&body).unwrap_err().to_string();
            assert!(text.contains(part), "{text}\ndoes not say {part:?}");
        }
    }
}

//! JSON that is read as it stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Any JSON, read as it stands.
///
/// `serde_json` reads into its own [`Value`] with one exception: where somebody asks for `RawValue`, as this project does, a
/// map with a certain key is taken for raw JSON, and what stands under that key is parsed. An object of a cluster may have such a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainValue(pub Value);

impl PlainValue {
    /// Reads a value from JSON.
    ///
    /// # Errors
    /// The text is not JSON, or nested deeper than 127 levels.
    pub fn parse(json: &str) -> serde_json::Result<Value> {
        serde_json::from_str(json).map(|Self(value)| value)
    }
}

impl<'de> Deserialize<'de> for PlainValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

const OUT_OF_RANGE: &str = "JSON number out of range";

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Number::from_i128(value).map(Value::Number).ok_or_else(|| E::custom(OUT_OF_RANGE))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Number::from_u128(value).map(Value::Number).ok_or_else(|| E::custom(OUT_OF_RANGE))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(PlainValue(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, PlainValue(value))) = members.next_entry()? {
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_value_comes_back_as_it_stands() {
        for json in [
            r#"{"a":[null,true,-1,18446744073709551615,0.5,"text \" ü",{}],"b":{"":[]}}"#,
            r#"{"$serde_json::private::RawValue":"no JSON"}"#,
            r#"[{"a":{"$serde_json::private::RawValue":"[1,2]"}}]"#,
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            assert_eq!(PlainValue::parse(json).unwrap().to_string(), json);
        }
        assert_eq!(PlainValue::parse(r#"{"a":1,"a":2}"#).unwrap().to_string(), r#"{"a":2}"#);
        assert!(PlainValue::parse("{} {}").is_err());
    }
}

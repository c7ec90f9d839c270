//! Rollups of inventories and metrics of profiles: rows in groups, and numbers about each group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, rule};

/// Groups the rows of an inventory, and says something about each group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollup {
    /// Name of the rollup.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::PART_NAME))]
    pub name: String,
    /// Rows that agree in these are a group: names of attributes, or of parts of a row's identity (`targetNamespace`, `targetName`,
    /// `namespace`, `name`, `group`, `version`, `kind`, `uid`). An attribute of such a name is written `attributes.name`. Without any,
    /// all rows are one group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(length(min = 1, max = 264), regex(pattern = schema::ONE_LINE)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub group_by: Vec<String>,
    /// What is said about each group, under names of their own.
    #[schemars(
        length(min = 1, max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub aggregates: Vec<Aggregate>,
}

/// One value about a group of rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "self.op == 'count' || has(self.attribute)",
        "the aggregate lacks the attribute that it is about; only count can do without, and counts rows then",
    ),
]))]
pub struct Aggregate {
    /// Name of the value.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::METRIC_NAME))]
    pub name: String,
    /// How it is worked out: `count` (how many values there are), `sum` (of numbers and quantities), `min`, `max` or `distinct` (how many
    /// different values there are).
    pub op: AggregateOp,
    /// From which values: the name of an attribute, or of a part of the row's identity, as in `groupBy`. Rows without one, or with null, are
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 264), regex(pattern = schema::ONE_LINE))]
    pub attribute: Option<String>,
}

/// How a value about a group is worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AggregateOp {
    /// How many values, or rows, there are.
    #[default]
    Count,
    /// The sum.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many different values there are.
    Distinct,
}

/// A number about the objects that a profile's targets select, one for each combination of label values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name of the metric.
    #[schemars(length(min = 1, max = 128), regex(pattern = schema::METRIC_NAME))]
    pub name: String,
    /// Name of the attribute that the number is worked out from.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::ONE_LINE))]
    pub path: String,
    /// Names of attributes, or of parts of a row's identity (`namespace`, `kind`…), by which the number is told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 5),
        inner(length(min = 1, max = 264), regex(pattern = schema::ONE_LINE)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub labels: Vec<String>,
    /// How objects that agree in all labels become one number: `sum`, `min`, `max` or `count` (how many have the attribute).
    #[serde(default, rename = "type")]
    pub type_: MetricType,
}

/// How several objects become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// The sum.
    #[default]
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// How many objects have the attribute.
    Count,
}

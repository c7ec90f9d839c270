//! The CEL rules of the CRDs (`x-kubernetes-validations`), evaluated offline.

use cel::{Context, Program, Value as CelValue};
use serde_json::Value;

use super::reason;
use super::schema::Flaw;

/// The rules of a kind, compiled, in the shape of its schema.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Rules of the value itself.
    own: Vec<Rule>,
    /// Rules within its fields.
    fields: Vec<(String, Rules)>,
    /// Rules within each of its elements.
    items: Option<Box<Rules>>,
}

#[derive(Debug)]
struct Rule {
    program: Result<Program, String>,
    expression: String,
    message: String,
    remedy: String,
}

impl Rules {
    /// Compiles the rules of a schema.
    pub(super) fn compile(schema: &Value) -> Self {
        let own = schema["x-kubernetes-validations"].as_array().into_iter().flatten().map(|rule| {
            let expression = rule["rule"].as_str().unwrap_or_default();
            let text = rule["message"].as_str().unwrap_or_default();
            let (message, remedy) = text.split_once("; ").unwrap_or((text, "correct the field"));
            Rule {
                program: Program::compile(expression).map_err(|error| error.to_string()),
                expression: expression.to_owned(),
                message: message.to_owned(),
                remedy: remedy.to_owned(),
            }
        });
        let fields = schema["properties"].as_object().into_iter().flatten();
        Self {
            own: own.collect(),
            fields: fields
                .map(|(name, schema)| (name.clone(), Self::compile(schema)))
                .filter(|(_, rules)| !rules.is_empty())
                .collect(),
            items: schema.get("items").map(Self::compile).filter(|rules| !rules.is_empty()).map(Box::new),
        }
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.fields.is_empty() && self.items.is_none()
    }

    /// Checks a document whose defaults have been set. Rules of values that are not even of the right shape are left
    /// out: `flaws` has what is wrong with those already.
    pub(super) fn check(&self, document: &Value, flaws: &mut Vec<Flaw>) {
        let known: Vec<String> = flaws.iter().map(|flaw| flaw.field.clone()).collect();
        self.value(document, "", &known, flaws);
    }

    fn value(&self, value: &Value, field: &str, known: &[String], flaws: &mut Vec<Flaw>) {
        if known.iter().any(|known| known == field) {
            return;
        }
        for (name, rules) in &self.fields {
            if let Some(value) = value.get(name).filter(|value| !value.is_null()) {
                let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                rules.value(value, &field, known, flaws);
            }
        }
        if let (Some(rules), Value::Array(items)) = (&self.items, value) {
            for (index, item) in items.iter().enumerate() {
                rules.value(item, &format!("{field}[{index}]"), known, flaws);
            }
        }
        for rule in &self.own {
            match rule.holds(value) {
                Ok(true) => {}
                Ok(false) => flaws.push(Flaw::new(
                    field,
                    reason::INVALID_FIELD,
                    (rule.message.clone(), rule.remedy.clone()),
                )),
                // A field that the rule reads is missing or of another type, and that is reported where it is; or else
                // the rule can't be evaluated, and then it must not seem to hold.
                Err(_) if known.iter().any(|known| is_within(known, field)) => {}
                Err(error) => flaws.push(Flaw::new(
                    field,
                    reason::INVALID_FIELD,
                    (
                        format!("the rule `{}` can't be evaluated: {error}", rule.expression),
                        "please report this".to_owned(),
                    ),
                )),
            }
        }
    }

    /// Expressions that do not compile, for the test.
    #[cfg(test)]
    pub(super) fn broken(&self) -> Vec<String> {
        let own = self.own.iter().filter(|rule| rule.program.is_err()).map(|rule| rule.expression.clone());
        let fields = self.fields.iter().flat_map(|(_, rules)| rules.broken());
        let items = self.items.iter().flat_map(|rules| rules.broken());
        own.chain(fields).chain(items).collect()
    }
}

impl Rule {
    fn holds(&self, value: &Value) -> Result<bool, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        let mut context = Context::default();
        // A field whose name is a word of CEL is written with underscores around it, as the API server has it.
        let renamed = self.expression.contains("__as__").then(|| escaped(value));
        let value = renamed.as_ref().unwrap_or(value);
        context.add_variable("self", value).map_err(|error| error.to_string())?;
        match program.execute(&context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it does not give true or false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The value with fields named `as`, the one word of CEL among our fields, under the name that rules know them by.
fn escaped(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| {
                    let key = if key == "as" { "__as__" } else { key };
                    (key.to_owned(), escaped(value))
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Whether a field is a part of another.
fn is_within(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
}

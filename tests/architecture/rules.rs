//! Which module may name which, and why.

use crate::imports::Source;

/// What a module of `src/` may name of our own.
pub(crate) struct Rule {
    /// The module.
    pub(crate) module: &'static str,
    /// Modules of `src/`, and `dataflows::…` for modules of the other crate.
    pub(crate) may_name: &'static [&'static str],
    /// Why there are no more.
    pub(crate) why: &'static str,
}

const ROWS: &str = "dataflows::data";
const EXTRACTION: &str = "dataflows::extract";
const ROLLUPS: &str = "dataflows::rollup";
const WHOLE_GRAPH: &str = "dataflows";

/// One line a module of `src/`, in the order in which data flows.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        module: "api",
        may_name: &[],
        why: "the custom resources are types only, so that anything may use them",
    },
    Rule {
        module: "sources",
        may_name: &[ROWS],
        why: "a source reports objects and knows nothing of pipelines, so that each source can serve all of them",
    },
    Rule {
        module: "sinks",
        may_name: &[ROWS],
        why: "a sink takes rows and knows nothing of where they come from, so that a backend is one folder",
    },
    Rule {
        module: "catalog",
        may_name: &["api", "sinks", ROWS, EXTRACTION, ROLLUPS],
        why: "the catalog is a pure function of the custom resources, so that `kollect validate` and the operator say the same",
    },
    Rule {
        module: "admission",
        may_name: &["api", "catalog"],
        why: "the webhook tells what the catalog says, so that admission, `kollect validate` and the operator never differ",
    },
    Rule {
        module: "manifests",
        may_name: &["api", "catalog", "sources"],
        why: "manifests are read as sources read files, and what they mean is the catalog's business",
    },
    Rule {
        module: "engine",
        may_name: &["api", "catalog", "sources", WHOLE_GRAPH],
        why: "the engine is the only door to the graph: it takes in plans and the events of sources, and what comes out does not depend on who takes it",
    },
    Rule {
        module: "export",
        may_name: &["sinks", ROWS],
        why: "delivery is the same for every backend and every origin of rows",
    },
    Rule {
        module: "probes",
        may_name: &["catalog", "latest", "sinks", "sources", EXTRACTION],
        why: "a probe looks at a sink or an object and runs nothing, whoever asks for it",
    },
    Rule {
        module: "lease",
        may_name: &["sinks"],
        why: "who leads is decided without knowing what a leader does; it gives out the term in which sinks write",
    },
    Rule {
        module: "status",
        may_name: &["api", "catalog", "engine", "export", "probes", "runtime", ROWS],
        why: "status says what plan, engine, exports and probes report, and decides nothing",
    },
    Rule { module: "latest", may_name: &[], why: "every task may tell another one what is new" },
    Rule { module: "telemetry", may_name: &[], why: "everything may log, so logging may need nothing" },
    Rule {
        module: "runtime",
        may_name: &["api", "catalog", "engine", "export", "sinks", "sources", "telemetry", ROWS, EXTRACTION],
        why: "the runtime wires all parts together, and nothing runs only because of the command line",
    },
    Rule {
        module: "operator",
        may_name: &[
            "admission",
            "api",
            "catalog",
            "engine",
            "export",
            "latest",
            "lease",
            "probes",
            "runtime",
            "sinks",
            "sources",
            "status",
            ROWS,
            EXTRACTION,
        ],
        why: "the operator runs in a cluster whatever started it, so it knows neither files nor the command line",
    },
    Rule {
        module: "cli",
        may_name: &[
            "admission",
            "api",
            "catalog",
            "engine",
            "export",
            "lease",
            "manifests",
            "operator",
            "runtime",
            "sinks",
            "sources",
            "status",
            "telemetry",
            ROWS,
            EXTRACTION,
            ROLLUPS,
        ],
        why: "the command line is outermost; the graph is reached through the engine only",
    },
];

/// What modules of `dataflows/src` may name of their own crate. Those not listed may name all of it.
pub(crate) const DATAFLOWS_RULES: &[Rule] = &[
    Rule {
        module: "data",
        may_name: &[],
        why: "plain data crosses the border of the graph and must need nothing of it",
    },
    Rule {
        module: "extract",
        may_name: &["data"],
        why: "extraction is used without the graph too (preview, validate)",
    },
];

/// What the graph's sources may not name.
const OUTSIDE_WORLD: [&str; 4] = ["fs", "net", "process", "env"];

/// What they may name of it all the same: addresses as values, which nobody can be reached with.
const ADDRESSES: [&str; 3] = ["IpAddr", "Ipv4Addr", "Ipv6Addr"];

/// Everything that the source of one module of `src/` does against the rules: line and sentence. `backends` are the
/// folders with a backend each, such as `sinks::database::sqlite`.
pub(crate) fn violations(source: &Source, module: &[String], backends: &[String]) -> Vec<(usize, String)> {
    let Some(own) = module.first() else { return Vec::new() };
    let Some(rule) = RULES.iter().find(|rule| rule.module == own) else {
        return vec![(
            1,
            format!(
                "module `{own}` has no line in tests/architecture/rules.rs; add one that says what it may name, and why"
            ),
        )];
    };
    let own_backend = backends.iter().find(|backend| is_within(&module.join("::"), backend));
    let mut found = Vec::new();
    for import in &source.imports {
        let name = match import.path.split_first() {
            Some((root, rest)) if root == "crate" || root == "kollect" => rest.join("::"),
            Some((root, rest)) if root == "kollect_dataflows" => {
                [&["dataflows".to_owned()][..], rest].concat().join("::")
            }
            _ => continue,
        };
        let first = name.split("::").next().unwrap_or_default();
        if first != own && !rule.may_name.iter().any(|allowed| is_within(&name, allowed)) {
            found.push((import.line, format!("`{own}` must not name `{name}`: {}", rule.why)));
        }
        let other = backends.iter().find(|backend| is_within(&name, backend));
        if own_backend.is_some() && other.is_some() && other != own_backend {
            found.push((
                import.line,
                format!("one backend must not name another (`{name}`): what they share stands one level up, so that each can be read, tested and left out alone"),
            ));
        }
    }
    found
}

/// As [`violations`], for a module of the graph's crate.
pub(crate) fn dataflows_violations(source: &Source, module: &[String]) -> Vec<(usize, String)> {
    let own = module.first().map(String::as_str).unwrap_or_default();
    let rule = DATAFLOWS_RULES.iter().find(|rule| rule.module == own);
    let mut found = Vec::new();
    for import in &source.imports {
        match import.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["std" | "core", "net", name] if ADDRESSES.contains(&name) => {}
            ["std" | "core", part, ..] if OUTSIDE_WORLD.contains(&part) => found.push((
                import.line,
                format!("the graph's crate must not name `std::{part}`: it is pure computation, so that its results depend on its input alone"),
            )),
            ["crate", part, ..] if rule.is_some_and(|rule| part != own && !rule.may_name.contains(&part)) => {
                let why = rule.map(|rule| rule.why).unwrap_or_default();
                found.push((import.line, format!("`{own}` must not name `{part}`: {why}")));
            }
            _ => {}
        }
    }
    found
}

/// Whether `name` is `module` or lies in it.
fn is_within(name: &str, module: &str) -> bool {
    name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

//! The help of the program: its subcommands in groups, and examples.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;
use clap::{Command, CommandFactory as _};

use super::args::Cli;

const HEADER: Style = Style::new().bold();
const LITERAL: Style = AnsiColor::Cyan.on_default();

/// The subcommands as the help groups them.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Run pipelines", &["collect", "operator"]),
    ("Look before you run", &["preview", "explain", "validate"]),
    ("Set up", &["crds", "completion"]),
];

/// Lines under the help of the program (empty name) and of subcommands: what they are for, and the command.
const EXAMPLES: [(&str, &[(&str, &str)]); 8] = [
    (
        "",
        &[
            ("See what a profile extracts", "kollect preview -f profile.yaml --objects manifests/"),
            (
                "Export a directory of manifests",
                "kollect collect --config pipeline.yaml --objects manifests/",
            ),
            ("Install into a cluster", "kollect crds | kubectl apply --server-side -f -"),
        ],
    ),
    (
        "collect",
        &[
            (
                "Files in, the sinks of the pipeline out",
                "kollect collect --config pipeline.yaml --objects manifests/",
            ),
            (
                "A cluster in, files out",
                "kollect collect --config pipeline.yaml --kubeconfig ~/.kube/config --output out/",
            ),
            (
                "Two clusters, then every change as it happens",
                "kollect collect --config pipeline.yaml --kubeconfig ~/.kube/config --context east west --watch",
            ),
        ],
    ),
    (
        "operator",
        &[
            ("In a pod, with its service account", "kollect operator"),
            ("On a laptop, against a cluster", "kollect operator --kubeconfig ~/.kube/config --context dev"),
        ],
    ),
    (
        "preview",
        &[
            ("Rows as a table", "kollect preview -f profile.yaml --objects manifests/"),
            (
                "Attributes of live objects, for jq",
                "kollect preview -f profile.yaml --kubeconfig ~/.kube/config -o json | jq '.profiles[].rows[].attributes'",
            ),
        ],
    ),
    (
        "explain",
        &[
            (
                "An object in a cluster",
                "kollect explain Deployment/web -n shop --config pipeline.yaml --kubeconfig ~/.kube/config",
            ),
            (
                "One in manifests",
                "kollect explain Namespace/shop --config pipeline.yaml --objects manifests/",
            ),
        ],
    ),
    (
        "validate",
        &[
            ("Everything in a directory", "kollect validate pipelines/"),
            ("In a CI job", "kollect validate pipelines/ -o json > problems.json"),
        ],
    ),
    (
        "crds",
        &[
            ("Install or upgrade", "kollect crds | kubectl apply --server-side -f -"),
            ("One file a kind", "kollect crds --output crds/"),
        ],
    ),
    (
        "completion",
        &[
            ("Bash, for this session", "source <(kollect completion bash)"),
            ("Fish, for good", "kollect completion fish > ~/.config/fish/completions/kollect.fish"),
        ],
    ),
];

const EXIT_CODES: &str = "0 all done, 1 part failed, 2 configuration or connection error";

/// The program's definition, with its help laid out.
pub(super) fn command() -> Command {
    let mut command = Cli::command();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(groups, "{HEADER}{title}:{HEADER:#}");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(groups, "  {LITERAL}{name:<12}{LITERAL:#}{about}");
        }
        groups.push('\n');
    }
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}{HEADER}Options:{HEADER:#}\n{{options}}{{after-help}}"
    );
    for (name, examples) in EXAMPLES {
        let mut text = format!("{HEADER}Examples:{HEADER:#}");
        for (what, line) in examples {
            let _ = write!(text, "\n  {what}:\n    {LITERAL}{line}{LITERAL:#}");
        }
        let _ = write!(text, "\n\n{HEADER}Exit codes:{HEADER:#} {EXIT_CODES}");
        command = if name.is_empty() {
            let more = format!("{LITERAL}kollect COMMAND --help{LITERAL:#} tells more about a command.");
            command.after_help(format!("{text}\n\n{more}"))
        } else {
            command.mut_subcommand(name, |sub| sub.after_help(text))
        };
    }
    let styles = Styles::styled().header(HEADER).usage(HEADER).literal(LITERAL).placeholder(Style::new());
    command
        .help_template(template)
        .override_usage("kollect COMMAND [OPTIONS]")
        .styles(styles)
        .max_term_width(110)
        .mut_args(|arg| if arg.is_global_set() { arg } else { arg.help_heading(None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_subcommand_is_in_one_group_and_has_examples() {
        for sub in command().get_subcommands().map(Command::get_name) {
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&sub)).count();
            assert_eq!(groups, 1, "{sub} must be in one group of the help");
            assert!(EXAMPLES.iter().any(|(name, _)| *name == sub), "{sub} has no examples");
        }
    }

    #[test]
    fn every_example_parses() {
        for (_, line) in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let own = line.split_once(['|', '>']).map_or(*line, |(own, _)| own);
            let own = own.trim_start_matches("source <(").trim_end_matches(')');
            // What stands after `source <(` was cut off at the bracket's own sign.
            let own = if own.starts_with("source") { "kollect completion bash" } else { own };
            let result = command().try_get_matches_from(own.split_whitespace());
            assert!(result.is_ok(), "{line}: {}", result.err().map(|e| e.to_string()).unwrap_or_default());
        }
    }
}

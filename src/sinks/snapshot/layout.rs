//! Which file a row belongs to.
//!
//! Paths come from templates, below the destination's root. The inventory has one path (`spec.pathTemplate`); in the
//! `perResource` layout each row has one more below it (`spec.layout.pathTemplate`):
//!
//! ```text
//! inventory/team/apps.yaml                                  document
//! inventory/team/apps/default/shop/deployment/cart.yaml     perResource
//! ```
//!
//! Names are made fit for every file system: characters other than letters, digits, `.`, `-` and `_` become `_`, and long
//! names are cut off and get a short hash of the whole name. Two rows can still ask for one path (two targets on one
//! object, kinds of two groups, names that differ in case only). Then *each* of them gets a short hash of its identity, so
//! that a row's path depends on which rows there are and not on which came first.

use kollect_dataflows::data::{Gvk, RowKey};

use super::template::{Placeholder, Template, short_hash, with_hash};
use crate::sinks::{BindingName, ConfigError};

/// The inventory's path, where the resource gives none.
pub const DOCUMENT_TEMPLATE: &str = "inventory/{namespace}/{name}{extension}";

/// A row's path, where the resource gives none.
pub const ROW_TEMPLATE: &str = "{cluster}/{sourceNamespace}/{kind}/{sourceName}{extension}";

/// What stands for an empty namespace.
const CLUSTER_SCOPED: &str = "_cluster";

/// What stands for an empty cluster id.
const NO_CLUSTER: &str = "default";

/// The shortest limit for a segment that leaves something readable beside a hash; smaller settings count as this.
const SHORTEST_LIMIT: u32 = 24;

/// How an inventory is spread over files (`spec.layout.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutMode {
    /// One file an inventory.
    #[default]
    Document,
    /// One file a row.
    PerResource,
}

/// Whether the API group is a part of the kind's path segment (`spec.layout.filename.groupInPath`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupInPath {
    /// For groups that are not Kubernetes' own: those with a dot that don't end in `.k8s.io`.
    #[default]
    Auto,
    /// Wherever there is one.
    Always,
    /// Nowhere.
    Never,
}

/// The format of files (`spec.serialization.format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

impl Format {
    /// The end of file names, with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Yaml => ".yaml",
            Self::Json => ".json",
        }
    }
}

/// Settings of the layout, as they stand in `spec.layout`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutSettings {
    /// `mode`.
    pub mode: LayoutMode,
    /// `pathTemplate`: the path of a row's file below the inventory's own path; default
    /// `{cluster}/{sourceNamespace}/{kind}/{sourceName}{extension}`.
    pub path_template: Option<String>,
    /// `filename.groupInPath`.
    pub group_in_path: GroupInPath,
    /// `filename.lowercaseKind`; default true.
    pub lowercase_kind: Option<bool>,
    /// `filename.maxSegmentLength`: the most bytes that one segment of a path may have, at least 24; default 63.
    pub max_segment_length: Option<u32>,
}

/// Checked settings: where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    mode: LayoutMode,
    format: Format,
    document: Template,
    row: Template,
    group_in_path: GroupInPath,
    lowercase_kind: bool,
    longest_segment: usize,
}

impl Layout {
    /// Checks settings.
    ///
    /// # Errors
    /// Names the first field that can't be used.
    pub fn new(
        path_template: Option<&str>,
        format: Format,
        settings: &LayoutSettings,
    ) -> Result<Self, ConfigError> {
        let mut allowed =
            vec![Placeholder::Cluster, Placeholder::Namespace, Placeholder::Name, Placeholder::Extension];
        if settings.mode == LayoutMode::Document {
            allowed.push(Placeholder::Generation);
        }
        let document =
            Template::parse("spec.pathTemplate", path_template.unwrap_or(DOCUMENT_TEMPLATE), &allowed)?;
        for needed in [Placeholder::Namespace, Placeholder::Name] {
            if !document.has(needed) {
                return Err(ConfigError {
                    field: "spec.pathTemplate".to_owned(),
                    message: format!("{} is missing, so two inventories would share a file", needed.text()),
                    remedy: format!("put it in, as in `{DOCUMENT_TEMPLATE}`"),
                });
            }
        }
        let row = Template::parse(
            "spec.layout.pathTemplate",
            settings.path_template.as_deref().unwrap_or(ROW_TEMPLATE),
            &Placeholder::OF_ROWS,
        )?;
        if ![Placeholder::SourceName, Placeholder::Name, Placeholder::Uid]
            .iter()
            .any(|needed| row.has(*needed))
        {
            return Err(ConfigError {
                field: "spec.layout.pathTemplate".to_owned(),
                message: "nothing in it tells one row from another".to_owned(),
                remedy: "put {sourceName} or {uid} in".to_owned(),
            });
        }
        Ok(Self {
            mode: settings.mode,
            format,
            document,
            row,
            group_in_path: settings.group_in_path,
            lowercase_kind: settings.lowercase_kind.unwrap_or(true),
            longest_segment: settings.max_segment_length.unwrap_or(63).max(SHORTEST_LIMIT) as usize,
        })
    }

    /// How the inventory is spread over files.
    pub fn mode(&self) -> LayoutMode {
        self.mode
    }

    /// The format of the files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether inventories of two clusters have paths of their own.
    pub fn tells_clusters_apart(&self) -> bool {
        self.document.has(Placeholder::Cluster)
    }

    /// The path of a generation of the inventory's document.
    pub fn document(&self, binding: &BindingName, generation: u64) -> String {
        self.inventory_path(binding, &generation.to_string(), self.format.extension())
    }

    /// The path of what is called after a document and lies beside it. No name of an inventory has an underscore, so it is no
    /// other one's.
    pub fn beside(&self, document: &str, what: &str) -> String {
        let (directory, name, end) = self.split(document);
        let longest = self.longest_segment.saturating_sub(end.len() + what.len() + 1);
        let name = if name.len() > longest { &with_hash(name, &short_hash(&[name]), longest) } else { name };
        format!("{directory}{name}_{what}{end}")
    }

    /// The directory of the inventory's rows, and the stem of the names of what belongs to the inventory.
    pub fn inventory(&self, binding: &BindingName) -> String {
        self.inventory_path(binding, "generation", "")
    }

    fn inventory_path(&self, binding: &BindingName, generation: &str, extension: &str) -> String {
        self.document.render(self.longest_segment, extension, |placeholder| match placeholder {
            Placeholder::Generation => generation.to_owned(),
            Placeholder::Cluster => or(&binding.cluster, NO_CLUSTER),
            Placeholder::Namespace => or(&binding.inventory_namespace, CLUSTER_SCOPED),
            _ => binding.inventory_name.clone(),
        })
    }

    /// The path of a row below [`Self::inventory`], if no other row asks for it.
    pub fn row(&self, binding: &BindingName, key: RowKey<&str>, gvk: &Gvk) -> String {
        self.row.render(self.longest_segment, self.format.extension(), |placeholder| match placeholder {
            Placeholder::Cluster => or(&binding.cluster, NO_CLUSTER),
            Placeholder::Namespace => or(&binding.inventory_namespace, CLUSTER_SCOPED),
            Placeholder::Name => binding.inventory_name.clone(),
            Placeholder::TargetNamespace => or(key.target_namespace, CLUSTER_SCOPED),
            Placeholder::TargetName => key.target_name.to_owned(),
            Placeholder::SourceNamespace => or(key.namespace, CLUSTER_SCOPED),
            Placeholder::SourceName => key.name.to_owned(),
            Placeholder::Group => or(&gvk.group, "core"),
            Placeholder::Kind => self.kind(gvk),
            Placeholder::Uid => key.uid.to_owned(),
            // Rows have none, and the other is the end of the name.
            Placeholder::Generation | Placeholder::Extension => String::new(),
        })
    }

    /// All that decides how the file of a row is written and where: text that differs wherever a row would have another
    /// file, and that later versions must not change without need.
    pub fn rows(&self) -> String {
        let group = match self.group_in_path {
            GroupInPath::Auto => "auto",
            GroupInPath::Always => "always",
            GroupInPath::Never => "never",
        };
        format!(
            "{} {} group={group} lowercase={} longest={}",
            self.format.extension(),
            self.row.text(),
            self.lowercase_kind,
            self.longest_segment
        )
    }

    /// The path of a row whose [`Self::row`] other rows ask for too.
    pub fn distinct(&self, path: &str, key: RowKey<&str>) -> String {
        let hash = short_hash(&[key.target_namespace, key.target_name, key.namespace, key.name, key.uid]);
        let (directory, stem, end) = self.split(path);
        let longest = self.longest_segment.saturating_sub(end.len());
        format!("{directory}{}{end}", with_hash(stem, &hash, longest))
    }

    /// The directory with its slash, the name, and the extension if it has one.
    fn split<'a>(&self, path: &'a str) -> (&'a str, &'a str, &'static str) {
        let (directory, name) =
            path.rsplit_once('/').map_or(("", path), |(_, name)| (&path[..path.len() - name.len()], name));
        match name.strip_suffix(self.format.extension()) {
            Some(stem) => (directory, stem, self.format.extension()),
            None => (directory, name, ""),
        }
    }

    fn kind(&self, gvk: &Gvk) -> String {
        let kind = if self.lowercase_kind { gvk.kind.to_lowercase() } else { gvk.kind.clone() };
        let with_group = !gvk.group.is_empty()
            && match self.group_in_path {
                GroupInPath::Always => true,
                GroupInPath::Never => false,
                GroupInPath::Auto => gvk.group.contains('.') && !gvk.group.ends_with(".k8s.io"),
            };
        if with_group { format!("{kind}.{}", gvk.group) } else { kind }
    }
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}

/// What two paths have in common that a file system might take for one: letters regardless of case.
pub fn fold(path: &str) -> String {
    path.to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn binding(cluster: &str, namespace: &str, name: &str) -> BindingName {
        BindingName {
            cluster: cluster.to_owned(),
            inventory_namespace: namespace.to_owned(),
            inventory_name: name.to_owned(),
        }
    }

    fn key<'a>(namespace: &'a str, name: &'a str) -> RowKey<&'a str> {
        RowKey { target_namespace: "team", target_name: "web", namespace, name, uid: "u-1" }
    }

    fn layout(settings: LayoutSettings) -> Layout {
        Layout::new(None, Format::Yaml, &settings).unwrap()
    }

    fn plain(layout: &Layout, namespace: &str, name: &str, gvk: &Gvk) -> String {
        layout.row(&binding("", "team", "apps"), key(namespace, name), gvk)
    }

    #[test]
    fn paths_are_those_of_the_contract() {
        let layout = layout(LayoutSettings::default());
        assert_eq!(layout.document(&binding("", "team", "apps"), 1), "inventory/team/apps.yaml");
        assert_eq!(layout.document(&binding("east", "", "all"), 1), "inventory/_cluster/all.yaml");
        assert_eq!(layout.inventory(&binding("", "team", "apps")), "inventory/team/apps");
        let deployment = Gvk::new("apps", "v1", "Deployment");
        assert_eq!(plain(&layout, "shop", "cart", &deployment), "default/shop/deployment/cart.yaml");
        assert_eq!(
            plain(&layout, "", "system:node", &Gvk::new("rbac.authorization.k8s.io", "v1", "ClusterRole")),
            "default/_cluster/clusterrole/system_node.yaml"
        );
        assert_eq!(
            plain(&layout, "shop", "tls", &Gvk::new("cert-manager.io", "v1", "Certificate")),
            "default/shop/certificate.cert-manager.io/tls.yaml"
        );
    }

    #[test]
    fn settings_of_file_names_are_followed() {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let always = layout(LayoutSettings {
            group_in_path: GroupInPath::Always,
            lowercase_kind: Some(false),
            ..LayoutSettings::default()
        });
        assert_eq!(plain(&always, "shop", "cart", &gvk), "default/shop/Deployment.apps/cart.yaml");
        let own = Layout::new(
            Some("{cluster}/{namespace}-{name}"),
            Format::Json,
            &LayoutSettings {
                path_template: Some("{targetNamespace}/{targetName}/{group}/{uid}{extension}".to_owned()),
                ..LayoutSettings::default()
            },
        )
        .unwrap();
        assert_eq!(own.document(&binding("east", "team", "apps"), 1), "east/team-apps");
        assert_eq!(plain(&own, "shop", "cart", &gvk), "team/web/apps/u-1.json");
    }

    #[test]
    fn every_setting_that_moves_or_changes_the_file_of_a_row_makes_another_layout_of_rows() {
        let plain = LayoutSettings { mode: LayoutMode::PerResource, ..LayoutSettings::default() };
        let rows = |format, settings: LayoutSettings| Layout::new(None, format, &settings).unwrap().rows();
        let template = |template: &str| Some(template.to_owned());
        let layouts = [
            rows(Format::Yaml, plain.clone()),
            rows(Format::Json, plain.clone()),
            rows(Format::Yaml, LayoutSettings { path_template: template("{kind}/{uid}"), ..plain.clone() }),
            rows(Format::Yaml, LayoutSettings { path_template: template("{kind}{uid}"), ..plain.clone() }),
            rows(Format::Yaml, LayoutSettings { group_in_path: GroupInPath::Always, ..plain.clone() }),
            rows(Format::Yaml, LayoutSettings { group_in_path: GroupInPath::Never, ..plain.clone() }),
            rows(Format::Yaml, LayoutSettings { lowercase_kind: Some(false), ..plain.clone() }),
            rows(Format::Yaml, LayoutSettings { max_segment_length: Some(30), ..plain.clone() }),
        ];
        let different: std::collections::BTreeSet<&String> = layouts.iter().collect();
        assert_eq!(different.len(), layouts.len(), "{layouts:?}");
        // What says the same in other words is the same.
        let spelled_out = LayoutSettings {
            path_template: template(ROW_TEMPLATE),
            lowercase_kind: Some(true),
            max_segment_length: Some(63),
            ..plain
        };
        assert_eq!(rows(Format::Yaml, spelled_out), layouts[0]);
    }

    #[test]
    fn no_name_leads_out_of_the_tree_or_is_hidden() {
        let layout = layout(LayoutSettings::default());
        let gvk = Gvk::new("", "v1", "Pod");
        for name in
            ["..", ".", "../../etc/passwd", "/etc", ".git", "a/b", "a\\b", "a\0b", "", "con.", "\u{202e}x"]
        {
            let path = plain(&layout, name, name, &gvk);
            assert_eq!(path.split('/').count(), 4, "{path}");
            assert!(
                path.split('/').all(|segment| !segment.starts_with('.') && !segment.is_empty()),
                "{path}"
            );
            assert!(!path.contains(['\\', '\0', '\u{202e}']), "{path}");
        }
    }

    #[test]
    fn long_names_are_cut_off_and_stay_apart() {
        let layout = layout(LayoutSettings::default());
        let gvk = Gvk::new("", "v1", "ConfigMap");
        let long = "x".repeat(100);
        let (a, b) = (
            plain(&layout, "shop", &format!("{long}a"), &gvk),
            plain(&layout, "shop", &format!("{long}b"), &gvk),
        );
        assert_ne!(a, b);
        for path in [&a, &b, &layout.distinct(&a, key("shop", &long))] {
            let name = path.rsplit('/').next().unwrap();
            assert!(name.len() <= 63 && name.ends_with(".yaml"), "{path}");
        }
        // Never in the middle of a character.
        plain(&layout, "shop", &"ü".repeat(60), &gvk);
        let exact = "y".repeat(58);
        assert_eq!(plain(&layout, "shop", &exact, &gvk), format!("default/shop/configmap/{exact}.yaml"));
    }

    #[test]
    fn distinct_paths_depend_on_the_identity_alone() {
        let layout = layout(LayoutSettings::default());
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let name = binding("", "team", "apps");
        let other_key = RowKey { target_name: "other", ..key("shop", "cart") };
        let path = layout.row(&name, key("shop", "cart"), &gvk);
        assert_eq!(path, layout.row(&name, other_key, &gvk));
        let (one, other) = (layout.distinct(&path, key("shop", "cart")), layout.distinct(&path, other_key));
        assert_ne!(one, other);
        for path in [one, other] {
            assert!(path.starts_with("default/shop/deployment/cart-") && path.ends_with(".yaml"), "{path}");
        }
    }

    #[test]
    fn what_lies_beside_a_document_is_called_after_it() {
        let yaml = Layout::new(None, Format::Yaml, &LayoutSettings::default()).unwrap();
        assert_eq!(yaml.beside("inventory/team/apps.yaml", "index"), "inventory/team/apps_index.yaml");
        // A template need not end with the extension.
        assert_eq!(yaml.beside("apps", "index"), "apps_index");
        let long = "n".repeat(58);
        let beside = yaml.beside(&format!("team/{long}.yaml"), "0000000000000000");
        assert_eq!(beside.len(), "team/".len() + 63);
        assert!(beside.ends_with("_0000000000000000.yaml"), "{beside}");
    }

    #[test]
    fn generations_have_documents_of_their_own_in_one_inventory() {
        let template = Some("{namespace}/{generation}/{name}-{generation}{extension}");
        let layout = Layout::new(template, Format::Yaml, &LayoutSettings::default()).unwrap();
        assert_eq!(layout.document(&binding("", "team", "apps"), 7), "team/7/apps-7.yaml");
        assert_eq!(layout.inventory(&binding("", "team", "apps")), "team/generation/apps-generation");
        // A directory of rows does not move with each change of one.
        let rows = LayoutSettings { mode: LayoutMode::PerResource, ..LayoutSettings::default() };
        let error = Layout::new(template, Format::Yaml, &rows).unwrap_err();
        assert_eq!(error.field, "spec.pathTemplate");
    }

    #[test]
    fn rejects_templates_that_lead_elsewhere_or_can_not_tell_files_apart() {
        for template in [
            "/etc/{namespace}/{name}",
            "../{namespace}/{name}",
            "a//{namespace}{name}",
            "{namespace}/{nam}",
            "{namespace}/{name",
            "{name}{extension}",
            "",
        ] {
            let error = Layout::new(Some(template), Format::Yaml, &LayoutSettings::default()).unwrap_err();
            assert_eq!(error.field, "spec.pathTemplate", "{template}");
        }
        for template in ["{kind}{extension}", "./{sourceName}", "a/../{uid}"] {
            let settings =
                LayoutSettings { path_template: Some(template.to_owned()), ..LayoutSettings::default() };
            let error = Layout::new(None, Format::Yaml, &settings).unwrap_err();
            assert_eq!(error.field, "spec.layout.pathTemplate", "{template}");
        }
    }
}

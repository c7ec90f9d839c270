//! Settings of a Postgres sink.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};

use crate::sinks::config::{DeletionPolicy, Provisioning, TlsSettings};
use crate::sinks::database::table::check_identifier;
use crate::sinks::database::{Table, TableName, TableNaming};
use crate::sinks::place::At;
use crate::sinks::{BindingName, ConfigError, EndpointPolicy, Refused};

/// How long a server may take to answer a connection attempt, where the connection string does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one statement may take, where the settings do not say.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(5);

/// After how long without an acknowledgement a connection counts as lost, where the connection string does not say.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// After how long without traffic a connection is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// The settings as they stand in the sink resource, with its references resolved.
#[derive(Clone)]
pub struct Settings {
    /// The connection string from the Secret that `spec.postgres.databaseRef` names: a URL or `key=value` pairs.
    ///
    /// `sslmode` means what it means to libpq, and `require` is stricter:
    ///
    /// | sslmode | encrypted | certificate |
    /// | --- | --- | --- |
    /// | `disable` | never | |
    /// | `prefer` (default) | if the server can | checked only when `tls` gives an authority |
    /// | `require` | always | checked, its host name too |
    /// | `verify-ca` | always | checked, its host name not |
    /// | `verify-full` | always | checked, its host name too |
    pub dsn: String,
    /// `spec.postgres.schema`; default `public`.
    pub schema: Option<String>,
    /// `spec.postgres.table`, or the template of names.
    pub table: TableNaming,
    /// `spec.provisioning.mode`.
    pub provisioning: Provisioning,
    /// `spec.tls`.
    pub tls: TlsSettings,
    /// `spec.deletionPolicy`; default `Delete`.
    pub deletion_policy: Option<DeletionPolicy>,
    /// What may be connected to.
    pub endpoints: EndpointPolicy,
    /// `spec.options`.
    pub options: Options,
}

/// Further settings, which count before what the connection string says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `applicationName`: how the sessions are called in `pg_stat_activity`; default `kollect`.
    pub application_name: Option<String>,
    /// `connectTimeout`: how long one server may take to answer a connection attempt; default 10 s.
    pub connect_timeout: Option<Duration>,
    /// `statementTimeout`: how long one statement may take; default 5 min.
    pub statement_timeout: Option<Duration>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dsn", &"<redacted>")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .field("provisioning", &self.provisioning)
            .field("tls", &self.tls)
            .field("deletion_policy", &self.deletion_policy)
            .field("endpoints", &self.endpoints)
            .field("options", &self.options)
            .finish()
    }
}

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing.
    Nothing,
    /// That a trusted authority signed it.
    Authority,
    /// That, and that it is the host's.
    AuthorityAndHost,
}

/// Checked settings.
#[derive(Clone, PartialEq)]
pub struct Config {
    dsn: Box<tokio_postgres::Config>,
    schema: String,
    table: Table,
    provisioning: Provisioning,
    tls: TlsSettings,
    verification: Verification,
    deletion_policy: DeletionPolicy,
    endpoints: EndpointPolicy,
    statement_timeout: Duration,
}

/// One of the servers that a connection string names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// A server that is reached over the network.
    Tcp {
        /// Its name, or its address; what its certificate is for.
        name: Option<String>,
        /// Its address, where the connection string gives one beside the name.
        address: Option<IpAddr>,
        port: u16,
    },
    /// A socket of this machine.
    #[cfg(unix)]
    Unix { directory: std::path::PathBuf, port: u16 },
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first field that can't be used; never a part of the connection string that could be a secret.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let table = Table::new("spec.postgres.table", &settings.table)?;
        let schema = settings.schema.unwrap_or_else(|| "public".to_owned());
        check_identifier("spec.postgres.schema", &schema)?;
        if settings.tls.insecure_skip_verify && settings.tls.ca_pem.is_some() {
            return Err(ConfigError {
                field: "spec.tls".to_owned(),
                message: "an authority is given, and certificates are not to be checked".to_owned(),
                remedy: "drop insecureSkipVerify, or the authority".to_owned(),
            });
        }
        let (mut dsn, mode) = parse(&settings.dsn)?;
        let Options { application_name, connect_timeout, statement_timeout } = settings.options;
        if let Some(timeout) = connect_timeout {
            dsn.connect_timeout(timeout);
        } else if dsn.get_connect_timeout().is_none() {
            dsn.connect_timeout(CONNECT_TIMEOUT);
        }
        if dsn.get_tcp_user_timeout().is_none() {
            dsn.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        if dsn.get_keepalives_idle() > KEEPALIVE_IDLE {
            dsn.keepalives_idle(KEEPALIVE_IDLE);
        }
        if let Some(name) = application_name {
            dsn.application_name(name);
        } else if dsn.get_application_name().is_none() {
            dsn.application_name("kollect");
        }
        let verification = match mode {
            _ if settings.tls.insecure_skip_verify => Verification::Nothing,
            Mode::Disable => Verification::Nothing,
            // Whoever stands in between could refuse TLS as well, so a check would prove nothing; servers with the
            // self-signed certificate of their installation could not be reached any more.
            Mode::Prefer if settings.tls.ca_pem.is_none() => Verification::Nothing,
            Mode::VerifyCa => Verification::Authority,
            Mode::Prefer | Mode::Require | Mode::VerifyFull => Verification::AuthorityAndHost,
        };
        Ok(Self {
            dsn: Box::new(dsn),
            schema,
            table,
            provisioning: settings.provisioning,
            tls: settings.tls,
            verification,
            deletion_policy: settings.deletion_policy.unwrap_or(DeletionPolicy::Delete),
            endpoints: settings.endpoints,
            statement_timeout: statement_timeout.unwrap_or(STATEMENT_TIMEOUT),
        })
    }

    /// The settings with the table of one binding.
    #[must_use]
    pub fn bound_to(&self, binding: &BindingName) -> Self {
        Self { table: self.table.of(binding), ..self.clone() }
    }

    /// Checks every server that the connection string names, as far as that can be done without asking anybody.
    ///
    /// # Errors
    /// One of them may not be connected to.
    pub fn check_endpoints(&self) -> Result<(), Refused> {
        self.servers().iter().try_for_each(|server| match server {
            Server::Tcp { address: Some(address), .. } => self.endpoints.check_address(*address),
            Server::Tcp { name, .. } => self.endpoints.check_host(name.as_deref().unwrap_or_default()),
            #[cfg(unix)]
            Server::Unix { directory, .. } => self.endpoints.check_socket(directory),
        })
    }

    /// The servers to try, as the driver reads them: where a name comes with an address, the address is connected to.
    pub(super) fn servers(&self) -> Vec<Server> {
        let (hosts, addresses) = (self.dsn.get_hosts(), self.dsn.get_hostaddrs());
        let ports = self.dsn.get_ports();
        let server = |i: usize| {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            let address = addresses.get(i).copied();
            match hosts.get(i) {
                #[cfg(unix)]
                Some(Host::Unix(directory)) if address.is_none() => {
                    Server::Unix { directory: directory.clone(), port }
                }
                Some(Host::Tcp(name)) => Server::Tcp { name: Some(name.clone()), address, port },
                _ => Server::Tcp { name: None, address, port },
            }
        };
        (0..hosts.len().max(addresses.len())).map(server).collect()
    }

    /// What may be connected to.
    pub(super) fn endpoints(&self) -> &EndpointPolicy {
        &self.endpoints
    }

    /// The destination for humans, without credentials: `postgres db.example:5432/inventory public.rows`.
    pub fn describe(&self) -> String {
        format!("postgres {} {}.{}", self.server(), self.schema, self.table.describe())
    }

    /// The server and database for humans: `db.example:5432/inventory`.
    pub fn server(&self) -> String {
        let hosts = self.hosts().collect::<Vec<_>>().join(",");
        if self.database().is_empty() { hosts } else { format!("{hosts}/{}", self.database()) }
    }

    /// Where the rows are.
    pub(in crate::sinks) fn at(&self) -> At {
        At::Server {
            hosts: self.hosts().collect(),
            database: self.database().to_owned(),
            schema: self.schema.clone(),
            table: self.table.name().as_str().to_owned(),
        }
    }

    /// Names or addresses, with ports.
    fn hosts(&self) -> impl Iterator<Item = String> {
        let hosts = self.dsn.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let named = self.dsn.get_hosts().len();
        let addresses = self.dsn.get_hostaddrs().iter().skip(named).map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        let ports = self.dsn.get_ports();
        hosts.chain(addresses).enumerate().map(move |(i, host)| {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        })
    }

    /// The server's default is the one of the user's name.
    fn database(&self) -> &str {
        self.dsn.get_dbname().or(self.dsn.get_user()).unwrap_or_default()
    }

    /// How to connect.
    pub(super) fn dsn(&self) -> &tokio_postgres::Config {
        &self.dsn
    }

    /// The schema that the tables are in.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The row table.
    pub fn table(&self) -> &TableName {
        self.table.name()
    }

    /// Whether the row table is one, and not another for each binding.
    pub fn has_one_table(&self) -> bool {
        self.table.is_one()
    }

    /// How long one statement may take.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// What may be created.
    pub fn provisioning(&self) -> Provisioning {
        self.provisioning
    }

    /// The authorities to trust.
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// What of the server's certificate is checked.
    pub fn verification(&self) -> Verification {
        self.verification
    }

    /// What becomes of the rows when the binding ends.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// The values of `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Reads a connection string. The driver does not know all of libpq's values of `sslmode`, so that one is taken out
/// first.
fn parse(dsn: &str) -> Result<(tokio_postgres::Config, Mode), ConfigError> {
    let error = |message: &str, remedy: &str| ConfigError {
        field: "spec.postgres.databaseRef".to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    };
    let dsn = dsn.trim();
    if dsn.is_empty() {
        return Err(error(
            "the connection string is empty",
            "put a URL such as `postgres://user:password@host:5432/database` into the Secret",
        ));
    }
    if has_stray_at(dsn) {
        return Err(error(
            "the connection string has an `@` that does not separate the password from the host",
            "write an `@` of the user, the password or the database as `%40`, a `/` as `%2F`, a `?` as `%3F`",
        ));
    }
    for (option, remedy) in [
        ("sslrootcert", "take it out and put the authority into spec.tls.caBundle or spec.tls.caSecretRef"),
        ("sslcert", "take it out and name a Secret with the certificate in spec.tls.clientCertSecretRef"),
        ("sslkey", "take it out and name a Secret with the key in spec.tls.clientCertSecretRef"),
    ] {
        if has_option(dsn, option) {
            return Err(error(&format!("the connection string has `{option}`, which names a file"), remedy));
        }
    }
    let (dsn, mode) = match take_option(dsn, "sslmode") {
        None => (dsn.to_owned(), Mode::Prefer),
        Some((rest, value)) => match value.as_str() {
            "disable" => (rest, Mode::Disable),
            "allow" | "prefer" => (rest, Mode::Prefer),
            "require" => (rest, Mode::Require),
            "verify-ca" => (rest, Mode::VerifyCa),
            "verify-full" => (rest, Mode::VerifyFull),
            _ => {
                return Err(error(
                    "the connection string has an unknown sslmode",
                    "use disable, prefer, require, verify-ca or verify-full",
                ));
            }
        },
    };
    // The driver's message may quote what it could not read, and that may be a piece of a password.
    let mut config: tokio_postgres::Config = dsn.parse().map_err(|_| {
        error(
            "the connection string can't be read",
            "write it as `postgres://user:password@host:5432/database`, with special characters of the password \
             percent-encoded, or as `host=… user=… password='…' dbname=…`",
        )
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(error("the connection string names no host", "add one"));
    }
    let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    if hosts > 0 && addresses > 0 && hosts != addresses {
        return Err(error(
            "the connection string has `hostaddr` for some of its hosts only",
            "give one for each, or none",
        ));
    }
    if config.get_ports().len() > 1 && config.get_ports().len() != hosts.max(addresses) {
        return Err(error(
            "the connection string has ports for some of its hosts only",
            "give one for each, or one for all",
        ));
    }
    // Both are shown, so they must be nothing else; pieces of a URL are.
    let is_url_piece = config.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => name.contains('@'),
        #[cfg(unix)]
        Host::Unix(_) => false,
    });
    if is_url_piece || config.get_dbname().is_some_and(|name| name.contains("://")) {
        return Err(error(
            "the connection string has a host or a database that is none",
            "write all of it as a URL, with an `@` of the password as `%40`, or all of it as `key=value` pairs",
        ));
    }
    config.ssl_mode(match mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    Ok((config, mode))
}

fn is_url(dsn: &str) -> bool {
    after_scheme(dsn).is_some()
}

fn after_scheme(dsn: &str) -> Option<&str> {
    dsn.strip_prefix("postgres://").or_else(|| dsn.strip_prefix("postgresql://"))
}

/// Whether the driver would cut a URL at another `@` than the one before the host: it takes the first there is, and what
/// comes behind it, be it the rest of a password, for host and database.
fn has_stray_at(dsn: &str) -> bool {
    let Some(rest) = after_scheme(dsn) else { return false };
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    match place.split_once('@') {
        Some((_, host_and_database)) => host_and_database.contains('@'),
        None => options.contains('@'),
    }
}

/// The place of `name=value` in a connection string.
fn find_option(dsn: &str, name: &str) -> Option<(usize, usize)> {
    let (from, separator): (usize, &[char]) =
        if is_url(dsn) { (dsn.find('?')? + 1, &['&']) } else { (0, &[' ', '\t', '\n']) };
    let mut start = from;
    for piece in dsn[from..].split(separator) {
        if piece.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')) {
            return Some((start, start + piece.len()));
        }
        start += piece.len() + 1;
    }
    None
}

fn has_option(dsn: &str, name: &str) -> bool {
    find_option(dsn, name).is_some()
}

/// The connection string without the option, and the option's value.
fn take_option(dsn: &str, name: &str) -> Option<(String, String)> {
    let (start, end) = find_option(dsn, name)?;
    let value = dsn[start + name.len() + 1..end].trim_matches('\'').to_owned();
    let before = dsn[..start].trim_end_matches(['&', ' ']);
    let after = dsn[end..].trim_start_matches(['&', ' ']);
    let rest = if after.is_empty() {
        before.trim_end_matches('?').to_owned()
    } else if before.is_empty() || before.ends_with('?') {
        format!("{before}{after}")
    } else {
        format!("{before}{}{after}", if is_url(dsn) { '&' } else { ' ' })
    };
    Some((rest, value))
}

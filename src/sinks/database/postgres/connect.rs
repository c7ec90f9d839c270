//! Connects to one of the servers of a connection string, and only to addresses that the endpoint policy allows.
//!
//! The driver resolves names itself, and what it connects to could be another address than the one that was checked. So it is
//! given one address at a time, and the name only for the certificate.

use std::net::IpAddr;

use tokio_postgres::config::LoadBalanceHosts;
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Config, Server};
use super::error::Doing;
use super::tls;
use crate::sinks::{Refused, ResolveError, SinkError};

/// The TLS side of a connection.
type Tls = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream;

/// Tries the servers, and the addresses of each, until one takes the connection. Names are resolved anew each time.
///
/// # Errors
/// Those of the last attempt; that an endpoint is refused only when nothing else was tried.
pub(super) async fn connect(config: &Config) -> Result<(Client, Connection<Socket, Tls>), SinkError> {
    let connecting = Doing { config, what: "connecting" };
    let tls = tls::connector(config)?;
    let mut servers = config.servers();
    let shuffled = config.dsn().get_load_balance_hosts() == LoadBalanceHosts::Random;
    if shuffled {
        fastrand::shuffle(&mut servers);
    }
    let (mut failed, mut refused) = (None, None);
    for server in &servers {
        let mut targets = match targets(config, server).await {
            Ok(targets) => targets,
            Err(Failure::Refused(error)) => {
                refused = refused.or(Some(error));
                continue;
            }
            Err(Failure::Lookup(message)) => {
                failed = Some(SinkError::Unreachable { message: connecting.message(&message) });
                continue;
            }
        };
        if shuffled {
            fastrand::shuffle(&mut targets);
        }
        for target in targets {
            match target.connect(tls.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(error) => failed = Some(connecting.not_connected(&error)),
            }
        }
    }
    Err(match (failed, refused) {
        (Some(error), _) => error,
        (None, Some(Refused { message, remedy })) => {
            SinkError::Forbidden { message: connecting.message(&message), hint: remedy }
        }
        (None, None) => {
            SinkError::Unreachable { message: connecting.message("the connection string names no server") }
        }
    })
}

enum Failure {
    Refused(Refused),
    Lookup(String),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What the driver is to connect to, a place each.
async fn targets(config: &Config, server: &Server) -> Result<Vec<tokio_postgres::Config>, Failure> {
    let endpoints = config.endpoints();
    match server {
        Server::Tcp { name, address: Some(address), port } => {
            endpoints.check_address(*address)?;
            Ok(vec![pinned(config, name.as_deref(), *address, *port)])
        }
        Server::Tcp { name, address: None, port } => {
            let name = name.as_deref().unwrap_or_default();
            match endpoints.resolve(name, *port).await {
                Ok(found) => Ok(found.iter().map(|to| pinned(config, Some(name), to.ip(), *port)).collect()),
                Err(ResolveError::Refused(refused)) => Err(refused.into()),
                Err(error @ ResolveError::Lookup { .. }) => Err(Failure::Lookup(error.to_string())),
            }
        }
        #[cfg(unix)]
        Server::Unix { directory, port } => {
            endpoints.check_socket(directory)?;
            let mut target = without_servers(config.dsn());
            target.host_path(directory).port(*port);
            Ok(vec![target])
        }
    }
}

/// The settings for one address; the name is what its certificate is for.
fn pinned(config: &Config, name: Option<&str>, address: IpAddr, port: u16) -> tokio_postgres::Config {
    let mut target = without_servers(config.dsn());
    if let Some(name) = name {
        target.host(name);
    }
    target.hostaddr(address).port(port);
    target
}

/// Everything that the settings say but where to connect to: that can only be added to.
fn without_servers(all: &tokio_postgres::Config) -> tokio_postgres::Config {
    let mut one = tokio_postgres::Config::new();
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(database) = all.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding());
    one
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_connected_to_has_every_setting_of_the_connection_string() {
        let all: tokio_postgres::Config = "host=h hostaddr=192.0.2.1 port=6432 user=u password=p dbname=d options='-c a=b' \
            application_name=n sslmode=require sslnegotiation=direct connect_timeout=3 tcp_user_timeout=4 keepalives=0 \
            keepalives_idle=5 keepalives_interval=6 keepalives_retries=7 target_session_attrs=read-write \
            channel_binding=require"
            .parse()
            .unwrap();
        let mut one = without_servers(&all);
        assert!(one.get_hosts().is_empty() && one.get_hostaddrs().is_empty() && one.get_ports().is_empty());
        one.host("h").hostaddr("192.0.2.1".parse().unwrap()).port(6432);
        assert_eq!(one, all);
    }
}

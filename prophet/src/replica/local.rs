//! Replicas on the local network, found and announced by multicast DNS.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_lite::future;
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use prophet_store::{DatabaseId, Environment as _, SystemEnvironment};

use crate::Result;
use crate::failure::Failure;

/// The kind of service that a served replica is.
const SERVICE: &str = "_prophet._tcp.local.";
/// The key of the announcement under which it says which database it has.
const DATABASE: &str = "database";

/// A replica that is announced for as long as this is there.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Who listens learns that it is gone; if not, the announcement runs out by itself.
        if let Ok(gone) = self.daemon.unregister(&self.name) {
            let _ = gone.recv_timeout(Duration::from_millis(500));
        }
        drop(self.daemon.shutdown());
    }
}

/// Announces that a replica of `database` is served at `port`.
pub(crate) fn announce(name: &str, port: u16, database: DatabaseId) -> Result<Announcement> {
    let daemon = daemon()?;
    let host = format!("{}.local.", host_label(name));
    let database = database.to_string();
    let info = ServiceInfo::new(SERVICE, name, &host, "", port, &[(DATABASE, &*database)][..])
        .map_err(failed)?
        .enable_addr_auto();
    let name = info.get_fullname().to_owned();
    daemon.register(info).map_err(failed)?;
    Ok(Announcement { daemon, name })
}

/// A name as it may be part of the name of a host.
fn host_label(name: &str) -> String {
    let label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("prophet-{}", label.trim_matches('-'))
}

/// The URLs of the replicas of `database` that answer within `patience`.
pub(crate) async fn browse(database: DatabaseId, patience: Duration) -> Result<BTreeSet<String>> {
    let daemon = daemon()?;
    let events = daemon.browse(SERVICE).map_err(failed)?;
    let mut found = BTreeSet::new();
    let wanted = database.to_string();
    let listen = async {
        while let Ok(event) = events.recv_async().await {
            let ServiceEvent::ServiceResolved(service) = event else { continue };
            if service.txt_properties.get_property_val_str(DATABASE) != Some(&wanted) {
                continue;
            }
            // One address is enough; those of version 4 need no scope.
            let addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
            if let Some(address) = addresses.min_by_key(|address| address.is_ipv6()) {
                let host = match address {
                    std::net::IpAddr::V4(address) => address.to_string(),
                    std::net::IpAddr::V6(address) => format!("[{address}]"),
                };
                found.insert(format!("http://{host}:{}", service.port));
            }
        }
    };
    future::or(listen, SystemEnvironment::default().sleep(patience)).await;
    drop(daemon.shutdown());
    Ok(found)
}

fn daemon() -> Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new().map_err(failed)?;
    // Replicas on this very machine are found where there is no network at all.
    daemon.enable_interface(IfKind::LoopbackV4).map_err(failed)?;
    Ok(daemon)
}

fn failed(error: mdns_sd::Error) -> Failure {
    Failure::failed(format!("the local network cannot be asked: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_found_by_those_of_its_database_only() -> Result<()> {
        let (ours, theirs) = (DatabaseId::from_bytes([7; 16]), DatabaseId::from_bytes([8; 16]));
        let _ours = announce("a test of ours", 18_008, ours)?;
        let _theirs = announce("a test of theirs", 18_009, theirs)?;
        let found = future::block_on(browse(ours, Duration::from_secs(3)))?;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.iter().all(|url| url.ends_with(":18008")), "{found:?}");
        Ok(())
    }
}

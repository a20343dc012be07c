//! Replicas on the local network, found and announced by multicast DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
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

/// Announces that a replica of `database` is served at `address`.
pub(crate) fn announce(
    name: &str,
    address: SocketAddr,
    database: DatabaseId,
) -> Result<Announcement> {
    let daemon = daemon()?;
    let host = format!("{}.local.", host_label(name));
    let database = database.to_string();
    let told = &[(DATABASE, &*database)][..];
    // Who listens on all addresses is found by each of them, and else by the one alone.
    let everywhere = address.ip().is_unspecified();
    let ip = if everywhere { String::new() } else { address.ip().to_string() };
    let info = ServiceInfo::new(SERVICE, name, &host, ip.as_str(), address.port(), told);
    let info = info.map_err(failed)?;
    let info = if everywhere { info.enable_addr_auto() } else { info };
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
    // By the name of each: it is told of anew when another of its addresses gets known.
    let mut found = BTreeMap::new();
    let wanted = database.to_string();
    let listen = async {
        while let Ok(event) = events.recv_async().await {
            let ServiceEvent::ServiceResolved(service) = event else { continue };
            if service.txt_properties.get_property_val_str(DATABASE) != Some(&wanted) {
                continue;
            }
            // One address is enough; those of version 4 need no scope, and that of the loopback is of
            // another machine, unless it is the only one.
            let addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
            let best = addresses.min_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip));
            if let Some(ip) = best {
                let address = SocketAddr::new(ip, service.port);
                found.insert(service.fullname.clone(), format!("http://{address}"));
            }
        }
    };
    future::or(listen, SystemEnvironment::default().sleep(patience)).await;
    drop(daemon.shutdown());
    Ok(found.into_values().collect())
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
        let (here, there) = (([127, 0, 0, 1], 18_008).into(), ([127, 0, 0, 1], 18_009).into());
        let _ours = announce("a test of ours", here, ours)?;
        let _theirs = announce("a test of theirs", there, theirs)?;
        let found = future::block_on(browse(ours, Duration::from_secs(3)))?;
        assert_eq!(found, BTreeSet::from(["http://127.0.0.1:18008".to_owned()]));
        Ok(())
    }
}

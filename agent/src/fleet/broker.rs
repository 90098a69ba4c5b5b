//! The MQTT broker of the configuration: where it is, how it is recognised, with which password.

use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use hearth_core::egress::{Allowed, Purpose};
use hearth_link::{
    Broker,
    mqtt::{Permit, Secret, Tls, Version},
};
use zeroize::Zeroizing;

use crate::{
    ask::{Failure, FailureKind},
    config::{BrokerTls, Config, MqttVersion},
    egress::EgressGate,
    node::Node,
};

/// The broker that the configuration names, if it names one.
pub(crate) fn named_in(config: &Config, node: &Arc<Node>) -> Result<Option<Broker>, Failure> {
    let settings = &config.broker;
    let Some(address) = &settings.address else { return Ok(None) };
    let wrong = |message: String| Failure::new(FailureKind::Usage, message);
    let tls = match (settings.tls, &settings.ca) {
        (BrokerTls::System, None) => Tls::Roots,
        (BrokerTls::None, None) => Tls::Plain,
        (BrokerTls::File, Some(ca)) => Tls::CaFile(ca.as_path().to_owned()),
        (BrokerTls::File, None) => {
            return Err(wrong(
                "`broker.tls` is `file` but `broker.ca` names none; name the file with its certificates".into(),
            ));
        }
        (BrokerTls::System | BrokerTls::None, Some(_)) => {
            return Err(wrong(
                "`broker.ca` counts only when `broker.tls` is `file`; set it so, or leave `ca` out".into(),
            ));
        }
    };
    let user = match (&settings.user, &settings.password_file) {
        (None, None) => None,
        (Some(user), None) => Some((user.as_str().to_owned(), Secret::new(""))),
        (Some(user), Some(file)) => Some((user.as_str().to_owned(), password_in(file.as_path())?)),
        (None, Some(_)) => {
            return Err(wrong("`broker.password-file` is set but `broker.user` is not; set both".into()));
        }
    };
    let version = match settings.mqtt {
        MqttVersion::V311 => Version::V3,
        MqttVersion::V5 => Version::V5,
    };
    let (host, port, purpose) = (address.host().to_owned(), address.port(), Purpose::Broker);
    let gate = EgressGate::new(vec![Allowed { host, port, purpose }], Arc::clone(node));
    let mut broker = Broker::at(&address.to_string(), tls).map_err(|error| wrong(error.to_string()))?;
    broker.user = user;
    broker.version = version;
    broker.permit = Permit::by(move |host, port| gate.permit(host, port, purpose));
    Ok(Some(broker))
}

/// A password is never longer, in bytes; that is what MQTT takes.
const PASSWORD_MAX: u64 = 65_535;

/// Reads a password from a file that only its owner may read; a line's end behind it does not count.
fn password_in(path: &Path) -> Result<Secret, Failure> {
    let failed =
        |said: String| Failure::new(FailureKind::Usage, format!("`broker.password-file`: {} {said}", path.display()));
    let file = File::open(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let meta = file.metadata().map_err(|error| failed(format!("cannot be read: {error}")))?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(failed(
            "can be read by others; `chmod 600` it, and change the password if somebody may have seen it".into(),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(PASSWORD_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| failed(format!("is not text: {error}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > PASSWORD_MAX {
        return Err(failed("holds no password that a broker takes; write it there, alone".into()));
    }
    Ok(Secret::new(password))
}

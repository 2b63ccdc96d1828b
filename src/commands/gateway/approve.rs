//! `gateway approve`: for a machine without a browser. The device must have asked the running gateway for approval.

use serde_json::json;

use super::place;
use crate::app::App;
use crate::cli::ApproveArgs;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, DeviceRef};
use crate::identity::{ConnectUrl, group_fingerprint, parse_fingerprint};

/// Runs it.
pub async fn run(app: &App, args: ApproveArgs) -> anyhow::Result<Exit> {
    // A fingerprint that was pasted with its blanks and without quotes comes as several arguments.
    let device = device(args.device.join(" ").trim())?;
    let request = AdminRequest::Approve { device, user: args.user };
    let AdminReply::Approved { user, device, fingerprint } = place::admin(app, &args.database, request).await? else {
        return Err(place::odd_answer().into());
    };
    app.printer.success(&format!("Approved the device {device:?} for {user} ({})", group_fingerprint(&fingerprint)));
    if app.printer.is_json() {
        app.printer.json(&json!({ "user": user, "device": device, "fingerprint": fingerprint }))?;
    }
    Ok(Exit::Done)
}

fn device(text: &str) -> Result<DeviceRef, Problem> {
    if text.starts_with("SHA256:") {
        let fingerprint = parse_fingerprint(text).map_err(|error| {
            Problem::new(Exit::Usage, format!("the fingerprint {text:?} is incomplete: {error}"))
                .hint("copy all of it; the spaces between its groups do not matter")
        })?;
        return Ok(DeviceRef::Fingerprint(fingerprint));
    }
    let url = ConnectUrl::parse(text).map_err(|error| {
        Problem::new(Exit::Usage, format!("{text:?} is neither a fingerprint nor a connect link: {error}"))
            .hint("give the fingerprint (SHA256:…), or the whole link that the device printed, in quotes")
    })?;
    Ok(DeviceRef::Key { key: url.key().clone(), name: url.device_name().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BaseUrl;
    use crate::identity::DeviceKey;

    #[test]
    fn a_device_is_named_by_its_link_or_its_fingerprint() {
        let key = DeviceKey::generate().unwrap().public().clone();
        let url = ConnectUrl::new(&BaseUrl::local(), "Ann's laptop", &key).to_string();
        assert_eq!(device(&url), Ok(DeviceRef::Key { key: key.clone(), name: "Ann's laptop".into() }));
        assert_eq!(device(&key.grouped_fingerprint()), Ok(DeviceRef::Fingerprint(key.fingerprint())));
        assert_eq!(device(&key.fingerprint()), Ok(DeviceRef::Fingerprint(key.fingerprint())));
        let cut = &key.fingerprint()[..30];
        for wrong in ["", "laptop", cut, "SHA256:", &format!("{}=", key.fingerprint()), url.split('&').next().unwrap()]
        {
            assert_eq!(device(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}

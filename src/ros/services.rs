//! The services `~/stop` and `~/enable`.

use r2r::QosProfile;
use r2r::std_srvs::srv::{SetBool, Trigger};

use super::{Doing, Inputs, NodeError};

/// Offers the services on `node`. They are answered between two images.
pub fn serve(node: &mut r2r::Node, inputs: &Inputs) -> Result<(), NodeError> {
    let qos = QosProfile::services_default;
    let stop = node
        .create_service::<Trigger::Service>("~/stop", qos())
        .doing("cannot offer ~/stop")?;
    inputs.on_each(stop, |inbox, request| {
        inbox.put_request(
            None,
            Box::new(move |core, _, out| {
                let message = core.stop(out);
                // The caller may have gone. Then nobody needs the answer.
                let _ = request.respond(Trigger::Response {
                    success: true,
                    message,
                });
            }),
        );
    })?;
    let enable = node
        .create_service::<SetBool::Service>("~/enable", qos())
        .doing("cannot offer ~/enable")?;
    inputs.on_each(enable, |inbox, request| {
        inbox.put_request(
            None,
            Box::new(move |core, _, out| {
                let message = core.enable(request.message.data, out);
                let _ = request.respond(SetBool::Response {
                    success: true,
                    message,
                });
            }),
        );
    })
}

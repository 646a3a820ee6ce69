//! Deliveries of a gateway to other systems.

use crate::client::{Client, Error, Refusal};
use crate::proto::pb;

impl Client {
    /// The deliveries of the gateway.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::GaveUp`].
    pub async fn list_deliveries(&self) -> Result<Vec<pb::Delivery>, Error> {
        let request = pb::ListDeliveriesRequest {};
        let response = self
            .call(&request, |mut rpc, request| async move { rpc.list_deliveries(request).await })
            .await?;
        Ok(response.deliveries)
    }

    /// Pauses or resumes a delivery, sends its dead letters again, or moves it. Returns the delivery
    /// as it is then.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NotFound` if there is no such delivery, and
    /// `FailedPrecondition` if it cannot do that now; [`Error::GaveUp`].
    pub async fn control_delivery(
        &self,
        request: &pb::ControlDeliveryRequest,
    ) -> Result<pb::Delivery, Error> {
        let response = self
            .call(request, |mut rpc, request| async move { rpc.control_delivery(request).await })
            .await?;
        response.delivery.ok_or_else(|| Refusal::protocol("response carries no delivery").into())
    }
}

//! The lane as JavaScript sees it: an object whose functions hold the lane themselves. A method of a
//! class would find it by its receiver, whose tag is compared and whose borrow is booked: ten times
//! the cost of a call, and a packet alone in its turn takes seven calls.

use crate::lane::{Lane, LaneMemory};
use napi::bindgen_prelude::{FunctionCallContext, JsObjectValue, Object};
use napi::{Env, Result};
use napi_derive::napi;
use std::cell::RefCell;
use std::rc::Rc;

/// Opens a lane over views of SharedArrayBuffers; anything else is refused with an exception.
#[napi]
pub fn lane_open<'env>(env: &'env Env, memory: LaneMemory) -> Result<Object<'env>> {
    let lane = Lane::new(memory)?;
    let mut face = Face { env, object: Object::new(env)?, lane: Rc::new(RefCell::new(lane)) };
    face.put("attachControl", |lane, call| Ok(lane.attach_control(call.get(0)?)))?;
    face.put("attachWatch", |lane, call| Ok(lane.attach_watch(call.get(0)?)))?;
    face.put("attachSocket", |lane, call| Ok(lane.attach_socket(call.get(0)?)))?;
    face.put("attachTap", |lane, call| Ok(lane.attach_tap(call.get(0)?)))?;
    face.put("detachSocket", |lane, call| Ok(lane.detach_socket(call.get(0)?)))?;
    face.put("detachTap", |lane, call| Ok(lane.detach_tap(call.get(0)?)))?;
    face.put("dontFragment", |lane, call| Ok(lane.dont_fragment(call.get(0)?, call.get(1)?)))?;
    face.put("streamKeep", |lane, call| Ok(lane.stream_keep(call.get(0)?)))?;
    face.put("streamClose", |lane, call| Ok(lane.stream_close(call.get(0)?)))?;
    face.put("streamSweep", |lane, call| Ok(lane.stream_sweep(call.get(0)?)))?;
    face.put("wait", |lane, call| Ok(lane.wait(call.get(0)?)))?;
    face.put("udpReceive", |lane, call| {
        Ok(lane.udp_receive(call.get(0)?, call.get(1)?, call.get(2)?))
    })?;
    face.put("udpErrors", |lane, call| Ok(lane.udp_errors(call.get(0)?)))?;
    face.put("openBatch", |lane, call| Ok(lane.open_batch(call.get(0)?, call.get(1)?)))?;
    face.put("send", |lane, call| Ok(lane.send(call.get(0)?)))?;
    face.put("tapRead", |lane, call| Ok(lane.tap_read(call.get(0)?, call.get(1)?, call.get(2)?)))?;
    face.put("tapWrite", |lane, call| Ok(lane.tap_write(call.get(0)?)))?;
    Ok(face.object)
}

/// The object in the making. The lane lives as long as one of its functions.
struct Face<'env> {
    env: &'env Env,
    object: Object<'env>,
    lane: Rc<RefCell<Lane>>,
}

impl Face<'_> {
    /// Adds one function. No call of the lane runs JavaScript, so none finds it borrowed.
    fn put(
        &mut self,
        name: &str,
        call: impl Fn(&mut Lane, &FunctionCallContext) -> Result<i32> + 'static,
    ) -> Result<()> {
        let lane = Rc::clone(&self.lane);
        let function =
            self.env.create_function_from_closure::<(), i32, _>(name, move |context| {
                call(&mut lane.borrow_mut(), &context)
            })?;
        self.object.set_named_property(name, function)
    }
}

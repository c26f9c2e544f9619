//! Ancillary data of a datagram: which local address and interface it arrived at or leaves from,
//! and its traffic class. For an IPv4 peer the IPv4 kinds are used on either family of socket:
//! the kernel hands a v4-mapped send to its IPv4 code, which reads `IP_PKTINFO` and `IP_TOS` but
//! ignores `IPV6_TCLASS`.

use crate::address::{mapped_v4, to_mapped};
use crate::boundary::Errno;
use libc::{c_int, cmsghdr, in_addr, in_pktinfo, in6_addr, in6_pktinfo, msghdr};

/// Room for packet info of both families and a traffic class (72 and 24 bytes on 64 bits).
pub const CONTROL_BYTES: usize = 128;

/// Ancillary memory of one message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Control(pub [u8; CONTROL_BYTES]);

/// Where a datagram arrived, or shall leave from. Zero means: the kernel chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    pub ip: [u8; 16],
    pub interface: u32,
}

/// Appends control messages to the ancillary memory.
struct Writer<'a> {
    control: &'a mut Control,
    used: usize,
}

impl Writer<'_> {
    fn append<T: Copy>(&mut self, level: c_int, kind: c_int, value: T) {
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
        let (space, length) = unsafe {
            (libc::CMSG_SPACE(size_of::<T>() as u32), libc::CMSG_LEN(size_of::<T>() as u32))
        };
        assert!(self.used + space as usize <= CONTROL_BYTES, "control messages fit their memory");
        let header = cmsghdr { cmsg_len: length as usize, cmsg_level: level, cmsg_type: kind };
        // SAFETY: the space was checked; the memory is aligned to 8 as `used` is (CMSG_SPACE
        // rounds up), and the value, which may need no more than 4, stands behind the header.
        unsafe {
            let at = self.control.0.as_mut_ptr().add(self.used);
            at.cast::<cmsghdr>().write(header);
            at.add(size_of::<cmsghdr>()).cast::<T>().write(value);
        }
        self.used += space as usize;
    }
}

/// Writes what a message to `remote` shall leave with; returns the bytes used, 0 for nothing.
pub fn write(
    control: &mut Control,
    remote: &[u8; 16],
    local: &Local,
    traffic_class: Option<u8>,
) -> Result<usize, Errno> {
    let mut writer = Writer { control, used: 0 };
    let is_local_any = local.ip == [0; 16];
    if mapped_v4(remote).is_some() {
        let source = match mapped_v4(&local.ip) {
            Some(v4) => u32::from_ne_bytes(v4),
            None if is_local_any => 0,
            None => return Err(libc::EAFNOSUPPORT),
        };
        if source != 0 || local.interface != 0 {
            let info = in_pktinfo {
                ipi_ifindex: local.interface.cast_signed(),
                ipi_spec_dst: in_addr { s_addr: source },
                ipi_addr: in_addr { s_addr: 0 },
            };
            writer.append(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        if let Some(class) = traffic_class {
            writer.append(libc::IPPROTO_IP, libc::IP_TOS, c_int::from(class));
        }
        return Ok(writer.used);
    }
    if mapped_v4(&local.ip).is_some() {
        return Err(libc::EAFNOSUPPORT);
    }
    if !is_local_any || local.interface != 0 {
        let info = in6_pktinfo {
            ipi6_addr: in6_addr { s6_addr: local.ip },
            ipi6_ifindex: local.interface,
        };
        writer.append(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
    }
    if let Some(class) = traffic_class {
        writer.append(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, c_int::from(class));
    }
    Ok(writer.used)
}

/// Reads where a message arrived. Where both kinds are there (IPv4 on a dual-stack socket), the
/// IPv4 one counts: its address is a local one even when the datagram went to a broadcast.
///
/// # Safety
/// `header` was filled by the kernel and its control memory is valid, aligned and initialised.
pub unsafe fn read(header: &msghdr) -> Local {
    let mut local = Local::default();
    let mut has_v4 = false;
    // SAFETY: the caller vouches for header and control memory; the CMSG macros stay inside it.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: `at` is a whole header inside the control memory.
        let message = unsafe { at.read_unaligned() };
        // SAFETY: computes the address behind the header; read only when the length says so.
        let data = unsafe { libc::CMSG_DATA(at) };
        let bytes = message.cmsg_len.saturating_sub(size_of::<cmsghdr>());
        match (message.cmsg_level, message.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if bytes >= size_of::<in_pktinfo>() => {
                // SAFETY: the message is at least as long as the value read.
                let info = unsafe { data.cast::<in_pktinfo>().read_unaligned() };
                local.ip = to_mapped(info.ipi_spec_dst.s_addr.to_ne_bytes());
                local.interface = info.ipi_ifindex.cast_unsigned();
                has_v4 = true;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if bytes >= size_of::<in6_pktinfo>() && !has_v4 =>
            {
                // SAFETY: the message is at least as long as the value read.
                let info = unsafe { data.cast::<in6_pktinfo>().read_unaligned() };
                local.ip = info.ipi6_addr.s6_addr;
                local.interface = info.ipi6_ifindex;
            }
            _ => {}
        }
        // SAFETY: `at` came from this header's control memory.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(control: &mut Control, used: usize) -> Local {
        // SAFETY: all fields of a msghdr may be zero.
        let mut header: msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used;
        // SAFETY: the control memory is initialised and aligned.
        unsafe { read(&header) }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut control = Control([0xee; CONTROL_BYTES]);
        let remote = to_mapped([192, 0, 2, 1]);
        let local = Local { ip: to_mapped([192, 0, 2, 9]), interface: 3 };
        let used = write(&mut control, &remote, &local, Some(0xb8)).unwrap();
        assert_eq!(used, 32 + 24);
        assert_eq!(read_back(&mut control, used), local);
        let remote = [0x20; 16];
        let local = Local { ip: [0x21; 16], interface: 4 };
        let used = write(&mut control, &remote, &local, Some(0)).unwrap();
        assert_eq!(used, 40 + 24);
        assert_eq!(read_back(&mut control, used), local);
    }

    #[test]
    fn nothing_asked_for_is_nothing_written() {
        let mut control = Control([0; CONTROL_BYTES]);
        for remote in [[0x20; 16], to_mapped([1, 2, 3, 4])] {
            assert_eq!(write(&mut control, &remote, &Local::default(), None), Ok(0));
        }
        assert_eq!(read_back(&mut control, 0), Local::default());
    }

    #[test]
    fn families_do_not_mix() {
        let mut control = Control([0; CONTROL_BYTES]);
        let v4 = to_mapped([1, 2, 3, 4]);
        let mixed = Local { ip: [0x20; 16], interface: 0 };
        assert_eq!(write(&mut control, &v4, &mixed, None), Err(libc::EAFNOSUPPORT));
        let mixed = Local { ip: v4, interface: 0 };
        assert_eq!(write(&mut control, &[0x20; 16], &mixed, None), Err(libc::EAFNOSUPPORT));
    }
}

;; wasi_snapshot_preview1 in terms of gimbal:filter: what Go, C and Rust call to start, to print, to collect and to panic.
;;
;; Standard output and error go to the filter's log. There are no files, sockets, arguments or environment; sleeping does
;; not wait; exit ends the call. The guest's memory is used directly, so the adapter needs no memory of its own.
;; Numbers returned: 0 success, 8 no such file, 52 not supported, 70 not seekable.
(module
  (import "env" "memory" (memory 0))
  (import "gimbal:filter/clock@0.1.0" "now" (func $now (result i64)))
  (import "gimbal:filter/clock@0.1.0" "monotonic" (func $monotonic (result i64)))
  (import "gimbal:filter/random@0.1.0" "next" (func $next (result i64)))
  (import "gimbal:wasip1/stdio@0.1.0" "write" (func $write (param i32 i32 i32)))
  (import "gimbal:wasip1/stdio@0.1.0" "exit" (func $exit (param i32)))

  ;; Arguments and environment: none of either.
  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; Clock 0 is the wall clock; the others count from some moment.
  ;; A component must not call an import while the host allocates in it. Generated Go bindings say when that is, and get
  ;; the last time again.
  (global $paused (mut i32) (i32.const 0))
  (global $last (mut i64) (i64.const 1))
  (func (export "adapter_monotonic_clock_set_paused") (param i32) (global.set $paused (local.get 0)))
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (if (i32.eqz (global.get $paused))
      (then (global.set $last
        (if (result i64) (i32.eqz (local.get $clock)) (then (call $now)) (else (call $monotonic))))))
    (i64.store (local.get $time) (global.get $last))
    (i32.const 0))
  (func (export "clock_res_get") (param $clock i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1))
    (i32.const 0))

  ;; Eight bytes at a time, then the rest one by one.
  (func (export "random_get") (param $to i32) (param $left i32) (result i32)
    (block $done
      (loop $eights
        (br_if $done (i32.lt_u (local.get $left) (i32.const 8)))
        (i64.store align=1 (local.get $to) (call $next))
        (local.set $to (i32.add (local.get $to) (i32.const 8)))
        (local.set $left (i32.sub (local.get $left) (i32.const 8)))
        (br $eights)))
    (block $done
      (loop $ones
        (br_if $done (i32.eqz (local.get $left)))
        (i64.store8 (local.get $to) (call $next))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $ones)))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param $code i32) (call $exit (local.get $code)) unreachable)

  ;; Whether a descriptor is one of the three standard ones.
  (func $is_standard (param $fd i32) (result i32) (i32.le_u (local.get $fd) (i32.const 2)))
  (func $standard (param $fd i32) (result i32)
    (select (i32.const 0) (i32.const 8) (call $is_standard (local.get $fd))))

  ;; Every piece of a write goes to the host; 0 is not for writing.
  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $length i32)
    (if (i32.or (i32.eqz (local.get $fd)) (i32.eqz (call $is_standard (local.get $fd)))) (then (return (i32.const 8))))
    (i32.store (local.get $written) (i32.const 0))
    (block $done
      (loop $each
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $length (i32.load offset=4 (local.get $pieces)))
        (if (local.get $length)
          (then (call $write (local.get $fd) (i32.load (local.get $pieces)) (local.get $length))))
        (i32.store (local.get $written) (i32.add (i32.load (local.get $written)) (local.get $length)))
        (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $each)))
    (i32.const 0))
  ;; Standard input is at its end.
  (func (export "fd_read") (param $fd i32) (param $pieces i32) (param $count i32) (param $got i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $got) (i32.const 0))
    (i32.const 0))
  (func (export "fd_seek") (param $fd i32) (param i64) (param i32) (param i32) (result i32)
    (select (i32.const 70) (i32.const 8) (call $is_standard (local.get $fd))))
  (func (export "fd_tell") (param $fd i32) (param i32) (result i32)
    (select (i32.const 70) (i32.const 8) (call $is_standard (local.get $fd))))
  (func (export "fd_close") (param $fd i32) (result i32) (call $standard (local.get $fd)))
  ;; The standard descriptors are character devices (2) with every right.
  (func (export "fd_fdstat_get") (param $fd i32) (param $stat i32) (result i32)
    (if (i32.eqz (call $is_standard (local.get $fd))) (then (return (i32.const 8))))
    (i64.store (local.get $stat) (i64.const 2))
    (i64.store offset=8 (local.get $stat) (i64.const -1))
    (i64.store offset=16 (local.get $stat) (i64.const -1))
    (i32.const 0))
  (func (export "fd_fdstat_set_flags") (param $fd i32) (param i32) (result i32) (call $standard (local.get $fd)))
  ;; No folder is open: runtimes ask for descriptors from 3 on until they are told so.
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))

  ;; Everything waited for has happened: a Go runtime that panics sleeps for a millisecond before it says why.
  ;; A subscription has 48 bytes (user data, then what kind), an event 32 (user data, error, kind).
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (i32.store (local.get $events) (local.get $count))
    (block $done
      (loop $each
        (br_if $done (i32.eqz (local.get $count)))
        (i64.store (local.get $out) (i64.load (local.get $in)))
        (i64.store offset=8 (local.get $out) (i64.shl (i64.load8_u offset=8 (local.get $in)) (i64.const 16)))
        (i64.store offset=16 (local.get $out) (i64.const 0))
        (i64.store offset=24 (local.get $out) (i64.const 0))
        (local.set $in (i32.add (local.get $in) (i32.const 48)))
        (local.set $out (i32.add (local.get $out) (i32.const 32)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $each)))
    (i32.const 0))

  ;; What would need files or sockets.
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 52))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 52))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 52))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 52))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 52))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 52))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 52))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 52))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 52))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 52))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 52))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 52))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 52))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 52))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 52))
  (func (export "proc_raise") (param i32) (result i32) (i32.const 52))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 52))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 52))
)

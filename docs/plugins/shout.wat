;; A plugin by hand: gives the content in capitals (ASCII letters alone).
;;
;; It takes the platform's word that `content` is the first field of the input, copies its JSON string as it is, and turns
;; a-z into A-Z on the way. What follows a backslash is copied unchanged, so that \n stays a line break.
(module
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 0) "{\"modified_content\":\"")
  (data (i32.const 64) "{\"name\":\"shout\",\"version\":\"1.0.0\",\"description\":\"Gives the text in capitals\",\"author\":\"the platform\",\"supported_content_types\":[\"text/plain\"]}")

  ;; Room for that many bytes. The memory grows when it must; the platform says no when that is too much.
  (func $alloc (export "alloc") (param $length i32) (result i32)
    (local $start i32)
    (local.set $start (global.get $free))
    (global.set $free (i32.add (local.get $start) (local.get $length)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1)
        (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $length) (i32.const 65536))))))
      unreachable)
    (local.get $start))

  (func $packed (param $pointer i32) (param $length i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $pointer)) (i64.const 32)) (i64.extend_i32_u (local.get $length))))

  (func (export "metadata") (result i64)
    (call $packed (i32.const 64) (i32.const 142)))

  (func (export "process") (param $input i32) (param $length i32) (result i64)
    (local $from i32) (local $to i32) (local $output i32) (local $byte i32)
    (local.set $output (call $alloc (i32.add (local.get $length) (i32.const 32))))
    (memory.copy (local.get $output) (i32.const 0) (i32.const 21))
    (local.set $to (i32.add (local.get $output) (i32.const 21)))
    (local.set $from (i32.add (local.get $input) (i32.const 12)))  ;; behind {"content":"
    (block $done
      (loop $next
        (local.set $byte (i32.load8_u (local.get $from)))
        (br_if $done (i32.eq (local.get $byte) (i32.const 34)))
        (if (i32.eq (local.get $byte) (i32.const 92))
          (then
            (i32.store8 (local.get $to) (local.get $byte))
            (local.set $from (i32.add (local.get $from) (i32.const 1)))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))
            (local.set $byte (i32.load8_u (local.get $from))))
          (else
            (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
              (then (local.set $byte (i32.sub (local.get $byte) (i32.const 32)))))))
        (i32.store8 (local.get $to) (local.get $byte))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $next)))
    (i32.store16 (local.get $to) (i32.const 0x7d22))  ;; "}
    (call $packed (local.get $output)
      (i32.add (i32.const 2) (i32.sub (local.get $to) (local.get $output))))))

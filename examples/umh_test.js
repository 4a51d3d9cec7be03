/**
 * The article's module, with both of its listings: runs /usr/bin/logger, and waits for it.
 *
 *   khelper insmod examples/umh_test.js
 */
import {
  call_usermodehelper,
  call_usermodehelper_exec,
  call_usermodehelper_setup,
  ENOMEM,
  GFP_ATOMIC,
  UMH_WAIT_PROC,
} from 'khelper/linux'

/** @returns {Promise<number>} */
export async function umh_test_setup_and_exec() {
  const argv = ['/usr/bin/logger', 'help!', null]
  const envp = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin', null]

  const sub_info = call_usermodehelper_setup(argv[0], argv, envp, GFP_ATOMIC)
  if (sub_info === null) return -ENOMEM

  return call_usermodehelper_exec(sub_info, UMH_WAIT_PROC)
}

/** @returns {Promise<number>} */
export async function umh_test() {
  const argv = ['/usr/bin/logger', 'help!', null]
  const envp = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin', null]

  return call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC)
}

export async function init() {
  return (await umh_test_setup_and_exec()) || (await umh_test())
}

export function exit() {}

export const license = 'GPL'

/**
 * The article's second listing, line by line: setup, then exec.
 */
import {
  call_usermodehelper_exec,
  call_usermodehelper_setup,
  ENOMEM,
  GFP_ATOMIC,
  UMH_WAIT_PROC,
} from 'khelper/linux'

async function umh_test(): Promise<number> {
  const argv = ['/usr/bin/logger', 'help!', null] as const
  const envp = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin', null]

  const sub_info = call_usermodehelper_setup(argv[0], argv, envp, GFP_ATOMIC)
  if (sub_info === null) return -ENOMEM

  return call_usermodehelper_exec(sub_info, UMH_WAIT_PROC)
}

export function init(): Promise<number> {
  return umh_test()
}

export function exit(): void {}

export const license = 'GPL'

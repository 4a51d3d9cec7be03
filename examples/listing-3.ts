/**
 * The article's third listing, line by line: setup and exec in one call.
 */
import { call_usermodehelper, UMH_WAIT_PROC } from 'khelper/linux'

async function umh_test(): Promise<number> {
  const argv = ['/usr/bin/logger', 'help!', null] as const
  const envp = ['HOME=/', 'TERM=linux', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin', null]

  return call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC)
}

export function init(): Promise<number> {
  return umh_test()
}

export function exit(): void {}

export const license = 'GPL'

import { waitQueue } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(waitQueue)

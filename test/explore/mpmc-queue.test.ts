import { queue } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(queue)

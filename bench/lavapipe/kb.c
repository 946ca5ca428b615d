// kb: runs a compute shader variant of conv; measures cpu time; checks result.
#include <vulkan/vulkan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <time.h>
#include <stdint.h>
#include <unistd.h>
#define V(x) do{VkResult r_=(x);if(r_<0){fprintf(stderr,"%s -> %d\n",#x,r_);exit(1);}}while(0)
static VkDevice dev;static VkPhysicalDevice pd;static VkQueue q;static VkInstance inst;
static double cpu(){struct timespec t;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);return t.tv_sec+t.tv_nsec*1e-9;}
static double wall(){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+t.tv_nsec*1e-9;}
typedef struct{VkBuffer b;VkDeviceMemory m;float*p;size_t n;VkDeviceAddress a;VkBufferView v;}Buf;
static Buf mk(size_t floats){Buf b={0};b.n=floats;VkBufferCreateInfo i={VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,.size=floats*4,.usage=VK_BUFFER_USAGE_STORAGE_BUFFER_BIT|VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT|VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT|VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT|VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT};
 V(vkCreateBuffer(dev,&i,0,&b.b));VkMemoryRequirements r;vkGetBufferMemoryRequirements(dev,b.b,&r);
 VkMemoryAllocateFlagsInfo f={VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,.flags=VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
 VkMemoryAllocateInfo a={VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,&f,r.size,0};V(vkAllocateMemory(dev,&a,0,&b.m));V(vkBindBufferMemory(dev,b.b,b.m,0));
 V(vkMapMemory(dev,b.m,0,VK_WHOLE_SIZE,0,(void**)&b.p));memset(b.p,0,floats*4);
 VkBufferDeviceAddressInfo ai={VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,.buffer=b.b};b.a=vkGetBufferDeviceAddress(dev,&ai);
 VkBufferViewCreateInfo v={VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,.buffer=b.b,.format=VK_FORMAT_R32G32B32A32_SFLOAT,.range=VK_WHOLE_SIZE};V(vkCreateBufferView(dev,&v,0,&b.v));return b;}
static void init(void){
 VkApplicationInfo app={VK_STRUCTURE_TYPE_APPLICATION_INFO,.apiVersion=VK_API_VERSION_1_2};
 VkInstanceCreateInfo ii={VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,.pApplicationInfo=&app};V(vkCreateInstance(&ii,0,&inst));
 uint32_t n=1;vkEnumeratePhysicalDevices(inst,&n,&pd);
 float pr=1;VkDeviceQueueCreateInfo qi={VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,.queueCount=1,.pQueuePriorities=&pr};
 VkPhysicalDeviceFeatures2 f={VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};VkPhysicalDeviceVulkan12Features f12={VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,.bufferDeviceAddress=1,.scalarBlockLayout=1,.shaderFloat16=1};
 f.pNext=&f12;f.features.shaderInt64=1;f.features.shaderFloat64=1;
 VkDeviceCreateInfo di={VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,&f,.queueCreateInfoCount=1,.pQueueCreateInfos=&qi};V(vkCreateDevice(pd,&di,0,&dev));vkGetDeviceQueue(dev,0,0,&q);}
static char*readf(const char*p,size_t*n){FILE*f=fopen(p,"rb");if(!f){perror(p);exit(1);}fseek(f,0,SEEK_END);*n=ftell(f);rewind(f);char*b=malloc(*n);fread(b,1,*n,f);fclose(f);return b;}
// binding kinds: t texel, s ssbo, i storage texel, u ubo
int main(int argc,char**argv){
 // kb SPV kinds local gx gy gz reps pushhex.. ; env: SPEC="4 4 ..." PUSH="ints", BUFS="n n n n" floats ; CHECK=conv
 if(argc<7)return 1;init();
 const char*spv=argv[1],*kinds=argv[2];int gx=atoi(argv[3]),gy=atoi(argv[4]),gz=atoi(argv[5]);int reps=atoi(argv[6]);
 int nb=strlen(kinds);Buf bufs[8];{char*s=strdup(getenv("BUFS")),*t=strtok(s," ");for(int i=0;i<nb;i++){bufs[i]=mk(strtoul(t,0,10));t=strtok(0," ");}}
 unsigned seed=1;for(int b=0;b<nb;b++)for(size_t i=0;i<bufs[b].n;i++){seed=seed*1664525u+1013904223u;bufs[b].p[i]=((seed>>8)/16777216.0f-0.5f);}
 uint32_t spec[16];int ns=0;{char*s=strdup(getenv("SPEC")?getenv("SPEC"):""),*t=strtok(s," ");while(t){spec[ns++]=strtoul(t,0,0);t=strtok(0," ");}}
 uint32_t push[64];int np=0;{char*s=strdup(getenv("PUSH")?getenv("PUSH"):""),*t=strtok(s," ");while(t){ if(t[0]=='@'){int b=atoi(t+1);memcpy(push+np,&bufs[b].a,8);np+=2;}else push[np++]=strchr(t,'.')?({float f=atof(t);uint32_t u;memcpy(&u,&f,4);u;}):(uint32_t)strtol(t,0,0);t=strtok(0," ");}}
 VkDescriptorSetLayoutBinding lb[8];VkDescriptorType ty[8];for(int i=0;i<nb;i++){ty[i]=kinds[i]=='t'?VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER:kinds[i]=='i'?VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER:kinds[i]=='u'?VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER:VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;lb[i]=(VkDescriptorSetLayoutBinding){i,ty[i],1,VK_SHADER_STAGE_COMPUTE_BIT};}
 VkDescriptorSetLayoutCreateInfo sl={VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,.bindingCount=nb,.pBindings=lb};VkDescriptorSetLayout set;V(vkCreateDescriptorSetLayout(dev,&sl,0,&set));
 VkPushConstantRange pr={VK_SHADER_STAGE_COMPUTE_BIT,0,np*4};VkPipelineLayoutCreateInfo pl={VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,.setLayoutCount=1,.pSetLayouts=&set,.pushConstantRangeCount=np?1:0,.pPushConstantRanges=&pr};VkPipelineLayout lay;V(vkCreatePipelineLayout(dev,&pl,0,&lay));
 size_t n;char*code=readf(spv,&n);VkShaderModuleCreateInfo sm={VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,.codeSize=n,.pCode=(uint32_t*)code};VkShaderModule mod;V(vkCreateShaderModule(dev,&sm,0,&mod));
 VkSpecializationMapEntry me[16];for(int i=0;i<ns;i++)me[i]=(VkSpecializationMapEntry){i,i*4,4};VkSpecializationInfo si={ns,me,ns*4,spec};
 VkComputePipelineCreateInfo ci={VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,.stage={VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,.stage=VK_SHADER_STAGE_COMPUTE_BIT,.module=mod,.pName="main",.pSpecializationInfo=&si},.layout=lay};
 VkPipeline pipe;double t0=cpu();V(vkCreateComputePipelines(dev,0,1,&ci,0,&pipe));double tp=cpu()-t0;
 VkDescriptorPoolSize ps[]={{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,8},{VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,8},{VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER,8},{VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER,8}};
 VkDescriptorPoolCreateInfo dp={VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,.maxSets=1,.poolSizeCount=4,.pPoolSizes=ps};VkDescriptorPool pool;V(vkCreateDescriptorPool(dev,&dp,0,&pool));
 VkDescriptorSetAllocateInfo da={VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,.descriptorPool=pool,.descriptorSetCount=1,.pSetLayouts=&set};VkDescriptorSet ds;V(vkAllocateDescriptorSets(dev,&da,&ds));
 for(int i=0;i<nb;i++){VkDescriptorBufferInfo bi={bufs[i].b,0,VK_WHOLE_SIZE};VkWriteDescriptorSet w={VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,.dstSet=ds,.dstBinding=i,.descriptorCount=1,.descriptorType=ty[i],.pBufferInfo=&bi,.pTexelBufferView=&bufs[i].v};vkUpdateDescriptorSets(dev,1,&w,0,0);}
 VkCommandPoolCreateInfo cp={VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};VkCommandPool cpool;V(vkCreateCommandPool(dev,&cp,0,&cpool));VkCommandBufferAllocateInfo ca={VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,.commandPool=cpool,.commandBufferCount=1};VkCommandBuffer cb;V(vkAllocateCommandBuffers(dev,&ca,&cb));
 VkCommandBufferBeginInfo bb={VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};V(vkBeginCommandBuffer(cb,&bb));
 int inner=getenv("INNER")?atoi(getenv("INNER")):1;
 vkCmdBindPipeline(cb,VK_PIPELINE_BIND_POINT_COMPUTE,pipe);vkCmdBindDescriptorSets(cb,VK_PIPELINE_BIND_POINT_COMPUTE,lay,0,1,&ds,0,0);if(np)vkCmdPushConstants(cb,lay,VK_SHADER_STAGE_COMPUTE_BIT,0,np*4,push);
 for(int i=0;i<inner;i++)vkCmdDispatch(cb,gx,gy,gz);
 V(vkEndCommandBuffer(cb));
 VkFenceCreateInfo fi={VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};VkFence fe;V(vkCreateFence(dev,&fi,0,&fe));
 double best=1e9,bw=1e9,jit=0;double all[1000];
 for(int r=0;r<reps+1;r++){VkSubmitInfo su={VK_STRUCTURE_TYPE_SUBMIT_INFO,.commandBufferCount=1,.pCommandBuffers=&cb};double t=cpu(),w=wall();V(vkQueueSubmit(q,1,&su,fe));V(vkWaitForFences(dev,1,&fe,1,UINT64_MAX));t=cpu()-t;w=wall()-w;V(vkResetFences(dev,1,&fe));if(r==0){jit=t;continue;}all[r-1]=t;if(t<best)best=t;if(w<bw)bw=w;}
 for(int i=0;i<reps;i++)for(int j=i+1;j<reps;j++)if(all[j]<all[i]){double t=all[i];all[i]=all[j];all[j]=t;}
 double work=getenv("WORK")?atof(getenv("WORK")):1;  // flop or bytes per dispatch
 printf("%-34s cpu min %8.1f med %8.1f us  rate/core %6.2f (min) %6.2f (med) G/s  wall %8.1f  pipe %.0f ms jit %.0f ms\n",getenv("NAME")?getenv("NAME"):spv,best*1e6/inner,all[reps/2]*1e6/inner,work*inner/best*1e-9,work*inner/all[reps/2]*1e-9,bw*1e6/inner,tp*1e3,jit*1e3);
 if(getenv("DUMP")){FILE*f=fopen(getenv("DUMP"),"wb");fwrite(bufs[nb-1].p,4,bufs[nb-1].n,f);fclose(f);}
 if(getenv("SUM")){double s=0,s2=0;for(size_t i=0;i<bufs[nb-1].n;i++){s+=bufs[nb-1].p[i]*(1+(i%7));s2+=fabs(bufs[nb-1].p[i]);}printf("  sum %.6g %.6g\n",s,s2);}
 if(getenv("HOLD")){printf("pid %d\n",getpid());fflush(stdout);double e=wall()+atof(getenv("HOLD"));while(wall()<e){VkSubmitInfo su={VK_STRUCTURE_TYPE_SUBMIT_INFO,.commandBufferCount=1,.pCommandBuffers=&cb};V(vkQueueSubmit(q,1,&su,fe));V(vkWaitForFences(dev,1,&fe,1,UINT64_MAX));V(vkResetFences(dev,1,&fe));}}
 return 0;}
